"""What `internvl-mcp setup` does: looks, says what it would do, asks, and lets `setup_work` do it."""

from __future__ import annotations

import argparse

from manifests.errors import InstallError
from mcp_server import setup_report
from mcp_server.setup_clients import ClientStep, client_steps
from mcp_server.setup_environment import environment_of
from mcp_server.setup_facts import Facts
from mcp_server.setup_model import ModelOffer, offer, others
from mcp_server.setup_plan import ModelPlan, model_plan
from mcp_server.setup_talk import Talk
from mcp_server.setup_work import Hands, Work
from vision.config import Settings
from vision.errors import ConfigError, UnknownVariant, VisionError, WeightsUnusable
from vision.variants.hardware import Hardware

DONE, FAILED, MEANINGLESS, UNASKED, INTERRUPTED = 0, 1, 2, 3, 130


def setup(
    options: argparse.Namespace, settings: Settings, facts: Facts | None = None, hands: Hands | None = None
) -> int:
    """See `setup_command.run`."""
    talk = Talk(asks=not (options.yes or options.dry_run))
    try:
        return _setup(options, settings, facts or Facts(), hands or Hands(), talk)
    except (UnknownVariant, ConfigError, WeightsUnusable, InstallError) as e:
        talk.complain(e.message, e.hint)
        return MEANINGLESS
    except VisionError as e:  # a folder of the user's own that does not fit
        talk.complain(e.message, e.hint)
        return FAILED
    except KeyboardInterrupt:
        talk.complain("interrupted", "What has come is kept: `internvl-mcp setup` goes on from there.")
        return INTERRUPTED


def _setup(options: argparse.Namespace, settings: Settings, facts: Facts, hands: Hands, talk: Talk) -> int:
    # A client's name that means nothing is told before anything is looked at.
    clients = [] if options.no_clients else client_steps(facts.place, options.target)
    hardware = facts.probe()
    talk.say(setup_report.machine(facts, hardware, environment_of(facts)))
    recommended = ModelOffer(why="--no-model was given") if options.no_model else offer(facts, settings, hardware)
    planned = model_plan(facts, settings, hardware, recommended)
    talk.say(setup_report.model(planned))
    if talk.interactive and (recommended.others_fit or not planned.nothing_to_do):
        planned = _chosen(planned, settings, facts, hardware, talk)
    if not options.no_clients:
        talk.say(setup_report.clients(clients))
    in_the_way = [*planned.problems, *(step.problem for step in clients if step.problem)]
    talk.say(setup_report.problems("In the way", in_the_way))
    if options.dry_run:
        talk.say(["Nothing was changed (--dry-run)."])
        return FAILED if in_the_way else DONE
    if _something_to_do(planned, clients) and not (options.yes or talk.interactive):
        talk.say(["Nothing was changed: nobody can be asked here. To do all of this: internvl-mcp setup --yes"])
        return UNASKED
    return _done(Work(options, settings, facts, hands, talk), planned, clients)


def _chosen(planned: ModelPlan, settings: Settings, facts: Facts, hardware: Hardware, talk: Talk) -> ModelPlan:
    """The recommended model, another one, or none, as the user says."""
    plan = planned.offer.plan
    if plan is None:
        wish = talk.choose("Set up a model all the same?", ("no", "other"))
    else:
        wish = talk.choose(f"Set up {plan.variant}?", ("yes", "other", "none"))
    if wish in ("yes", "no"):
        return planned
    if wish == "none":
        return model_plan(facts, settings, hardware, ModelOffer(why="none was wanted"))
    fitting = others(settings, hardware)
    talk.say(["These fit", *setup_report.choices(fitting, planned.offer)])
    name = fitting[talk.number("Which one?", len(fitting)) - 1].name
    named = settings.model_copy(update={"variant": name})
    planned = model_plan(facts, named, hardware, offer(facts, named, hardware))
    talk.say(setup_report.model(planned))
    return planned


def _something_to_do(planned: ModelPlan, clients: list[ClientStep]) -> bool:
    return not planned.nothing_to_do or any(step.to_do for step in clients)


def _done(work: Work, planned: ModelPlan, clients: list[ClientStep]) -> int:
    went_on = work.model(planned)
    if went_on is not None:
        return went_on
    work.clients(clients)
    if not work.options.no_self_test:
        work.self_test(planned)
    work.talk.say(setup_report.problems("Not done", work.failed))
    work.talk.say(setup_report.next_words(work.model_is_ready))
    return FAILED if work.failed else DONE
