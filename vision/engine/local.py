"""InternVL on this machine: whether it can be had, which variant, and where its host is; and the engine over it all.

Nothing heavy is imported: whether torch is installed is asked of the import system, the machine is probed without it.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path

import anyio

from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper
from vision.chat.record import host_key, read_record, state_folder
from vision.chat.types import ImagePart
from vision.config import Settings
from vision.engine import managed
from vision.engine.chats import Chat, HostState
from vision.engine.choice import Choice
from vision.engine.engine import Engine
from vision.engine.folder import plan_for
from vision.errors import ConfigError, EngineUnavailable, UnknownVariant, VisionError, WeightsUnusable
from vision.media.tile_grid import Fit
from vision.remote.servers import Fitter, RemoteServers
from vision.serving.installed import require_command
from vision.serving.managed import ManagedChat
from vision.serving.servers import SERVERS, TITLES
from vision.serving.types import Served, Server, ServingPlan
from vision.variants import selector
from vision.variants.catalogue import variant_named, variants
from vision.variants.hardware import Hardware
from vision.variants.plan import Plan
from vision.variants.policy import Policy, policy_from, request_from
from vision.weights.job import Downloads
from vision.weights.layout import hub_cache
from vision.weights.snapshot import Checkpoint, find_snapshot, verify

_HEALTH_WITHIN_S = 2.0
# Of the extra [local]; a server of others is started and watched without it.
_NEEDED = ("torch", "transformers", "accelerate", "safetensors")


def local_engine(settings: Settings, environment: Mapping[str, str] = os.environ, fit: Fitter | None = None) -> Engine:
    """The engine of this machine. `environment`: where the hosts' folders and the weights are looked for. `fit`: brings
    pictures to the size that somebody else's server makes use of; without it they are sent as they are.
    """
    keeper = HostKeeper(state_folder(environment), package_version())
    machine, chats = LocalMachine(settings, cache=hub_cache(environment)), HostChats(keeper, fit)
    return Engine(settings, machine, chats, Downloads(), remote_servers(settings, fit))


def remote_servers(settings: Settings, fit: Fitter | None = None) -> RemoteServers:
    """The servers that the settings name; there may be none."""
    key = settings.endpoint_key.get_secret_value() if settings.endpoint_key is not None else None
    return RemoteServers(settings.endpoints, key, settings.endpoint_model, fit or _as_they_are)


async def _as_they_are(picture: ImagePart, fit: Fit, max_tiles: int, tile_side: int) -> ImagePart:
    return picture


def package_version() -> str:
    try:
        return importlib.metadata.version("internvl-mcp")
    except importlib.metadata.PackageNotFoundError:  # run from a folder of sources
        return "0"


def missing_packages(folders: Sequence[str] | None = None) -> tuple[str, ...]:
    """What of the extra [local] is not installed. Nothing is imported for it. `folders`: where to look; sys.path."""
    return tuple(name for name in _NEEDED if PathFinder.find_spec(name, folders) is None)


def folder_of(settings: Settings) -> Path | None:
    """The checkpoint's folder, where the setting variant names one: a path, or what lies in the working directory."""
    if settings.variant is None:
        return None
    path = Path(settings.variant).expanduser()
    if path.is_dir() or path.is_absolute() or settings.variant.startswith((".", "~")):
        return path.absolute()
    return None


def policy_of(settings: Settings) -> Policy:
    """The policy; a folder is no name of the catalogue's."""
    return policy_from(settings if folder_of(settings) is None else settings.model_copy(update={"variant": None}))


def local_weights(settings: Settings, cache: Path) -> tuple[dict[str, Checkpoint], list[WeightsUnusable]]:
    """Of the variants that the settings allow, the checkpoints that are whole, by name; and why others are not."""
    wanted = [variant_named(settings.variant)] if settings.variant else list(variants())
    found: dict[str, Checkpoint] = {}
    broken: list[WeightsUnusable] = []
    for variant in wanted:
        folder = find_snapshot(variant.repository, variant.revision, cache)
        if folder is None:
            continue
        try:
            found[variant.name] = verify(folder)
        except WeightsUnusable as e:
            broken.append(e)
    return found, broken


class LocalMachine:
    """`probe` and `missing` as parameters so that any machine can be played."""

    def __init__(
        self,
        settings: Settings,
        cache: Path,
        probe: Callable[[], Hardware] | None = None,
        missing: Callable[[], tuple[str, ...]] = missing_packages,
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._probe = probe or _probe
        self._missing = missing

    def choose(self, running: tuple[HostSpec, ...], variant: str | None = None) -> Choice:
        """See `Machine`."""
        if self._settings.engine == "ocr":
            return Choice(name="ocr", reason="the setting engine is ocr")
        if variant is not None:
            return self._pinned(variant)._internvl(running)
        try:
            return self._internvl(running)
        except VisionError as e:
            if self._settings.engine != "auto" and not self._settings.fallback:
                raise
            return Choice(name="ocr", reason=f"InternVL is not used: {e.message}", advice=e.hint)

    def hardware(self) -> Hardware:
        return self._probe()

    def plan(self, variant: str | None) -> Plan | ServingPlan:
        """See `Machine`."""
        settings = self._pinned(variant)._settings if variant else self._settings
        hardware, request = self._probe(), request_from(settings)
        if settings.engine in SERVERS:
            return managed.plan_of(SERVERS[settings.engine], hardware, policy_of(settings), request)
        folder = folder_of(settings)
        if folder is not None:
            return plan_for(verify(folder), hardware, policy_of(settings), request)
        return selector.plan(hardware, policy_of(settings), request)

    def _pinned(self, variant: str) -> LocalMachine:
        """The same machine with one variant of the catalogue: a client names no folders. Raises UnknownVariant."""
        settings = self._settings.model_copy(update={"variant": variant_named(variant).name})
        return LocalMachine(settings, self._cache, self._probe, self._missing)

    def _internvl(self, running: tuple[HostSpec, ...]) -> Choice:
        engine = self._settings.engine
        if engine in SERVERS:
            require_command(engine)
        elif missing := self._missing():
            raise EngineUnavailable(
                f"the extra [local] is not installed ({', '.join(missing[:3])} missing)",
                "Run `internvl-mcp setup`: it installs what fits this hardware and fetches weights.",
            )
        for spec in running:
            if self._suits(spec):
                if isinstance(spec.plan, ServingPlan):
                    return managed.choice_of(spec.plan, spec.folder, running=True)
                reason = f"{_because(spec.plan)}; it is running already"
                return Choice(name="internvl", reason=reason, plan=spec.plan, folder=spec.folder)
        folder = folder_of(self._settings)
        hardware = self._probe()
        if engine in SERVERS:
            return self._managed(SERVERS[engine], hardware)
        if folder is not None:
            checkpoint = verify(folder)
            plan = plan_for(checkpoint, hardware, policy_of(self._settings), request_from(self._settings))
            return Choice(name="internvl", reason=_because(plan), plan=plan, folder=folder)
        return self._from_catalogue(hardware)

    def _managed(self, server: Server, hardware: Hardware) -> Choice:
        """What a server of others runs that is started here."""
        settings = self._settings
        if folder_of(settings) is not None:
            raise ConfigError(
                f"{TITLES[server.name]} is started with the catalogue's variants, not with a checkpoint in a folder",
                "Name one, as --variant 3.5-8B; or start the server yourself and name it with --endpoint.",
            )
        given = (server, hardware, policy_of(settings), request_from(settings))
        if server.name == "llama.cpp":
            return managed.from_gguf(*given, settings.gguf_folder)
        checkpoints, broken = local_weights(settings, self._cache)
        if not checkpoints:
            raise broken[0] if broken else self._no_weights(managed.plan_of(*given))
        return managed.from_checkpoints(*given, checkpoints)

    def _from_catalogue(self, hardware: Hardware) -> Choice:
        checkpoints, broken = local_weights(self._settings, self._cache)
        best = self._best_of_all(hardware)
        if not checkpoints:
            if broken:
                raise broken[0]
            raise self._no_weights(best)
        request = request_from(self._settings, available=frozenset(checkpoints))
        plan = selector.plan(hardware, policy_of(self._settings), request)
        checkpoint = checkpoints[plan.variant]
        plan = plan.model_copy(update={"revision": checkpoint.commit})
        advice = ""
        if best is not None and best.variant != plan.variant:
            advice = f"{best.variant} would fit and is better: internvl-mcp pull {best.variant}"
        return Choice(name="internvl", reason=_because(plan), advice=advice, plan=plan, folder=checkpoint.folder)

    def _best_of_all(self, hardware: Hardware) -> Plan | None:
        """What would be chosen were all weights here; None where nothing fits."""
        try:
            return selector.plan(hardware, policy_of(self._settings), request_from(self._settings))
        except UnknownVariant:
            raise
        except VisionError:
            return None

    def _no_weights(self, best: Plan | ServingPlan | None) -> WeightsUnusable:
        if self._settings.variant:
            name = variant_named(self._settings.variant).name
            return WeightsUnusable(
                f"the weights of {name} are not on this machine", f"Fetch them: internvl-mcp pull {name}"
            )
        if best is None:
            return WeightsUnusable(
                "no InternVL weights are on this machine, and no variant fits into its free memory",
                "See why with: internvl-mcp plan",
            )
        return WeightsUnusable(
            "no InternVL weights are on this machine", f"{best.variant} fits here: internvl-mcp pull {best.variant}"
        )

    def _suits(self, spec: HostSpec) -> bool:
        """Whether a running host is what the settings ask for."""
        settings, plan = self._settings, spec.plan
        server = plan.server if isinstance(plan, ServingPlan) else None
        if server != (settings.engine if settings.engine in SERVERS else None):
            return False
        folder = folder_of(settings)
        if folder is not None:
            same = spec.folder.absolute() == folder
        elif settings.variant is not None:
            same = plan.variant == variant_named(settings.variant).name
        else:  # somebody's own checkpoint is only for those who name it
            same = any(plan.variant == variant.name and not variant.only_when_named for variant in variants())
        return (
            same
            and settings.quantisation in ("auto", plan.quantisation)
            and settings.device in ("auto", plan.device)
            and (server == "llama.cpp" or (spec.folder / "config.json").is_file())
        )


def _because(plan: Plan) -> str:
    return plan.reasons[0] if plan.reasons else f"{plan.variant} fits this machine"


def _probe() -> Hardware:
    from vision.variants.probe import probe

    return probe()


class HostChats:
    """The model hosts of this user on this machine. See `ChatSource`."""

    def __init__(self, keeper: HostKeeper, fit: Fitter | None = None) -> None:
        self.keeper = keeper
        self._fit = fit or _as_they_are
        self._served: dict[str, tuple[Served, RemoteServers]] = {}

    async def connect(self, spec: HostSpec) -> Chat:
        host = await self.keeper.connect(spec)
        return ManagedChat(host, partial(self._servers_at, spec)) if isinstance(spec.plan, ServingPlan) else host

    def _servers_at(self, spec: HostSpec, served: Served) -> RemoteServers:
        key = host_key(spec)
        if key not in self._served or self._served[key][0] != served:
            self._served[key] = (served, RemoteServers(served.urls, served.key, spec.plan.variant, self._fit))
        return self._served[key][1]

    async def running(self) -> tuple[HostState, ...]:
        if not self.keeper.folder.run.is_dir():  # nothing was ever started
            return ()
        with anyio.move_on_after(_HEALTH_WITHIN_S):
            return await self._answering()
        return self._recorded()

    def _recorded(self) -> tuple[HostState, ...]:
        """Hosts that are too busy to answer, as while torch is being imported. A dead one refuses at once."""
        records = [read_record(path) for path in sorted(self.keeper.folder.run.glob("*.json"))]
        specs = [record.spec for record in records if record is not None and record.spec is not None]
        return tuple(HostState(spec=spec, state="busy", loaded=0.0) for spec in specs)

    async def _answering(self) -> tuple[HostState, ...]:
        return tuple(
            HostState(
                spec=host.record.spec,
                state=host.health.state,
                loaded=host.health.loaded,
                working=host.health.working,
                device_bytes=host.health.device_bytes,
            )
            for host in await self.keeper.status()
            if host.record.spec is not None and host.health is not None and host.health.state in ("loading", "ready")
        )

    async def end(self, spec: HostSpec) -> bool:
        return await self.keeper.end(host_key(spec))
