"""One server of somebody else's: its client, its breaker, and what is known of it."""

from __future__ import annotations

import time

import anyio

from vision.chat.client import ChatClient, Endpoint, HostSilent, Loose, OfferedModel
from vision.chat.faults import HttpRefusal
from vision.errors import ConfigError, EngineUnavailable, ModelFailed, OutOfMemory, VisionError
from vision.remote.breaker import Breaker
from vision.remote.capabilities import Capabilities, capabilities_of, kind_of, looks_like_internvl, named_only
from vision.remote.refusal import learnt

# Asked again after so long: a server may have been started anew with another model.
_KNOWN_FOR_S = 300.0
# A server that takes longer to list its models has no time for questions either.
_LOOK_S = 5.0
_MOST_LISTED = 8
# With these, a server that cannot list its models may answer questions all the same.
_NO_LIST = (404, 405, 500, 501)


class _Modalities(Loose):
    vision: bool = True


class _Generation(Loose):
    n_ctx: int | None = None


class _Props(Loose):
    """llama.cpp's GET /props: the context of one slot, and whether it was started with a vision tower (--mmproj)."""

    default_generation_settings: _Generation = _Generation()
    modalities: _Modalities = _Modalities()


class RemoteServer:
    """`model`: the name to ask for, None to pick. Used from one event loop at a time."""

    def __init__(self, url: str, key: str | None, model: str | None) -> None:
        self.url = url
        self.breaker = Breaker()
        self._key = key
        self._model = model
        self._known: tuple[Capabilities, float] | None = None
        self._asking = anyio.Lock()

    async def capabilities(self) -> Capabilities:
        """Asked once, then remembered for a while.

        Raises ConfigError when the model is not there, not clear or takes no pictures, and what the server fails with.
        """
        async with self._asking:
            if self._known is None or time.monotonic() - self._known[1] > _KNOWN_FOR_S:
                await self._look()
            assert self._known is not None
            return self._known[0]

    async def look(self) -> Capabilities:
        """As `capabilities`, asked now whatever is remembered."""
        async with self._asking:
            return await self._look()

    async def _look(self) -> Capabilities:
        try:
            with anyio.fail_after(_LOOK_S):
                found = await self._discovered()
        except TimeoutError as e:
            raise HostSilent(
                f"the server at {self.url} did not list its models within {_LOOK_S:.0f} s", "See the server's log."
            ) from e
        known = self._known and self._known[0]
        if known is not None and (known.model, known.kind) == (found.model, found.kind):
            found = known  # with what its refusals taught
        self._known = (found, time.monotonic())
        return found

    def client(self, capabilities: Capabilities) -> ChatClient:
        return ChatClient(Endpoint(self.url, key=self._key, model=capabilities.model, dialect=capabilities.dialect))

    def learn(self, error: VisionError, *, blame: bool = True) -> bool:
        """Remembers what a failure says of the server; whether asking again at once may go better for it. `blame`: the
        breaker hears of it.
        """
        if blame:
            self._count(error)
        if self._known is None:
            return False
        known, since = self._known
        now = learnt(known, error)
        self._known = (now, since)
        return now.dialect != known.dialect

    def _count(self, error: VisionError) -> None:
        """A server that refuses a question, or has no room for it, is well."""
        refusal = error.__cause__
        if isinstance(refusal, HttpRefusal):
            if refusal.status < 500 or isinstance(error, OutOfMemory):
                self.breaker.succeeded()
            else:
                self.breaker.failed(error.message)
            if refusal.status == 404:
                self._known = None  # the model may have gone
        elif isinstance(error, (ModelFailed, EngineUnavailable)):
            self.breaker.failed(error.message)

    async def _discovered(self) -> Capabilities:
        asking = ChatClient(Endpoint(self.url, key=self._key))
        try:
            offered = await asking.models()
        except VisionError as e:
            if self._model is None or not isinstance(e.__cause__, HttpRefusal) or e.__cause__.status not in _NO_LIST:
                raise
            return named_only(self._model)
        found = self._picked(offered)
        if found.kind != "llama.cpp":
            return found
        try:
            props = await asking.properties(_Props)
        except VisionError:  # switched off in some builds; nothing depends on it
            return found
        if not props.modalities.vision:
            raise ConfigError(
                f"{found.name} at {self.url} takes no pictures", "Start llama-server with --mmproj, the vision tower."
            )
        return found.model_copy(update={"context": props.default_generation_settings.n_ctx or found.context})

    def _picked(self, offered: tuple[OfferedModel, ...]) -> Capabilities:
        names = [model.id for model in offered]
        listed = ", ".join(names[:_MOST_LISTED]) + (", …" if len(names) > _MOST_LISTED else "")
        if self._model is not None:
            same = [model for model in offered if model.id == self._model]
            if same:
                return capabilities_of(same[0])
            if all(kind_of(model) == "unknown" for model in offered):
                # Gateways list some of what they have; transformers serve lists the hub's cache, not what it runs.
                return named_only(self._model)
            raise ConfigError(
                f"the server at {self.url} has no model {self._model!r}",
                f"Set endpoint_model to one of: {listed}." if names else "It offers none: see its log.",
            )
        likely = offered if len(offered) == 1 else [model for model in offered if looks_like_internvl(model)]
        if len(likely) != 1:
            raise ConfigError(
                f"the server at {self.url} offers {len(names)} models, and which one to ask is not clear",
                f"Set endpoint_model to one of: {listed}." if names else "It offers none: see its log.",
            )
        return capabilities_of(likely[0])
