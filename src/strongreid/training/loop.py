"""The main job, top to bottom: prepare, train, evaluate, save, report."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.profiler import record_function

from strongreid.config import Config
from strongreid.distributed import environment_rank, join
from strongreid.errors import InputError
from strongreid.evaluation import EvalResult
from strongreid.files import write_json
from strongreid.model.hardware import Placement, measured_peak, place
from strongreid.model.weights import save_model
from strongreid.training.checkpoint import State, load_state, restore, save_state
from strongreid.training.collapse import collapse_warning, is_due, is_trivial
from strongreid.training.freezing import freeze_stages
from strongreid.training.memory import is_out_of_memory, what_fits
from strongreid.training.network import statistics_kept
from strongreid.training.optimizers import set_learning_rate
from strongreid.training.report import write_report
from strongreid.training.runlog import NonFiniteLossError, RunLog
from strongreid.training.setup import Run, prepare


def train(config: Config, *, resume: bool = False, progress: bool = True) -> EvalResult:
    """Run the whole recipe and leave a run folder; returns the last evaluation.

    In `config.run.output`: `config.json`, `log.jsonl`, `state.pt` (to resume), the model folders `last` and `best`
    (by mAP), `result.json`, `table.txt`, `curves.png`, `ranks.png`. With `resume`, a run that was killed at any
    moment goes on, and on a CPU ends with the same weights, bit for bit, as if it had not been.

    Started by `torchrun`, every process trains on its own P x K batch of a global one and the first one writes.

    Raises:
        InputError: data, settings or the folder are unusable; nothing was written.
        NonFiniteLossError: a loss became NaN or infinite.
        LostProcessError: another process of the run died.
    """
    placement = place_run(config)
    with join(placement.device, config.run.timeout) as world:
        folder = Path(config.run.output)
        saved = world.once(lambda: _open_run(folder, config.to_dict(), resume))
        run = prepare(config, world, placement, folder, progress=progress)
        try:
            with placement.memory():
                return _train(run, folder, saved, progress)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Here, where the error and what its step held are gone, there is memory to find out.
        raise InputError(f"out of memory: {what_fits(run)}")


def place_run(config: Config) -> Placement:
    """Where and how this process of the run works."""
    settings = config.run
    if settings.threads:
        torch.set_num_threads(settings.threads)
    return place(
        settings.device,
        settings.precision,
        local_rank=environment_rank()[2],
        compiled=settings.compile,
        channels_last=settings.channels_last,
        winograd=settings.winograd,
        keep_memory=settings.keep_memory,
    )


def _train(run: Run, folder: Path, saved: dict[str, Any] | None, progress: bool) -> EvalResult:
    config, world, model = run.config, run.world, run.model
    settings, optim = config.to_dict(), config.optim
    log = RunLog(folder, progress=progress, world=world, device=run.placement.device.type)
    log.seconds_at_peak = 3 * run.operations / measured_peak(run.placement)  # forward, and backward twice as much
    log.say(f"running on {run.placement.why}{_of_how_many(run)}")
    state = State()
    if saved is None:
        world.once(lambda: write_json(folder / "config.json", settings))
        log.restore([])
        log.write("start", **run.counts, placement=run.placement.why, versions=_versions(), config=settings)
        untrained, _ = run.evaluate()
        world.once(lambda: untrained.save(folder / "untrained.json"))
        log.write("evaluation", epoch=0, **_scores(untrained))
    else:
        state = restore(saved, run.parts)
        log.restore(state.history)
        log.say(f"resuming after epoch {state.epoch}")

    network, final = None, None
    for epoch in range(state.epoch, optim.epochs):
        torch.manual_seed(config.run.seed * 1_000_003 + epoch + 1 + world.rank * 10_007)  # for dropout
        model.train()
        if freeze_stages(model, optim.freeze, epoch + 1) or network is None:  # what processes exchange has changed
            network = world.wrap(run.network, run.placement.device)
        log.begin_epoch(epoch + 1, optim.epochs, *run.batches.plan(epoch).shape)
        try:
            lr = train_epoch(run, network, log, epoch, run.batches.epoch(epoch))
            means = log.end_epoch(lr)
        except NonFiniteLossError as error:
            log.close()
            raise NonFiniteLossError(f"{error}. {_advice(folder, state)}") from None
        state.epoch = epoch + 1
        _warn_of_collapse(log, state, means, run)

        if state.epoch == optim.epochs or (config.eval.every and state.epoch % config.eval.every == 0):
            final = result, _ = run.evaluate()
            log.write("evaluation", epoch=state.epoch, **_scores(result))
            log.say(f"epoch {state.epoch}: mAP {result.mAP:.1%}, Rank-1 {result.rank(1):.1%}")
            about = {"epoch": state.epoch, **_scores(result), "config": settings}
            names = ["last", "best"] if result.mAP > state.best_map else ["last"]
            state.best_map = max(result.mAP, state.best_map)
            for name in names:
                world.once(partial(save_model, folder / name, run.learned, run.spec, about))
        state.history = log.events
        world.once(lambda: save_state(folder / "state.pt", state, run.parts, settings))
    log.close()

    result, tables = final or run.evaluate()  # none where a finished run is resumed
    if world.first:
        result.save(folder / "result.json")
        write_report(folder, result, tables, log.events, (run.query.pictures, run.gallery.pictures))
    return result


def train_epoch(
    run: Run, network: torch.nn.Module, log: RunLog, epoch: int, batches: Iterable[tuple[Tensor, Tensor]]
) -> float:
    """Take the steps of an epoch counted from 0; returns the last learning rate."""
    optim, parts = run.config.optim, run.config.batch.accumulate
    recomputes = run.config.model.checkpointing
    lr = 0.0
    for step, (images, labels) in enumerate(batches):
        lr = run.learning_rate(epoch, step)
        set_learning_rate(run.optimizers[0], lr)
        # The training step ------------------------------------------------------------------------------------------
        for optimizer in run.optimizers:
            optimizer.zero_grad(set_to_none=True)
        for part, (some, whose) in enumerate(zip(images.chunk(parts), labels.chunk(parts), strict=True), 1):
            with run.world.exchange(network, part == parts), run.placement.autocast():
                terms = network(run.placement.arrange(some), whose)
            with record_function("backward"), statistics_kept(run.model, recomputes):
                (torch.stack(list(terms.values())).sum() / parts).backward()  # type: ignore[no-untyped-call]
            log.add(terms)
        with record_function("optimiser"):
            if optim.clip:
                clip_grad_norm_(run.model.parameters(), optim.clip)
            for optimizer in run.optimizers:
                optimizer.step()
            if run.averaged is not None:
                run.averaged.update_parameters(run.model)
        log.step()
        # ------------------------------------------------------------------------------------------------------------
    return lr


def _open_run(folder: Path, settings: dict[str, Any], resume: bool) -> dict[str, Any] | None:
    """The state to go on from, or None for a fresh run; refuses to write over an earlier run."""
    state = folder / "state.pt"
    if resume and state.is_file():
        return load_state(state, settings)
    if not resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} already holds something: pass --resume to go on with that run, or choose another --run.output."
        )
    return None


def _of_how_many(run: Run) -> str:
    size, pictures = run.world.size, run.batches.p * run.batches.k
    return f"; {size} processes, a global batch of {size * pictures} pictures" if size > 1 else ""


def _scores(result: EvalResult) -> dict[str, float]:
    return {"mAP": result.mAP, "mINP": result.mINP, "rank1": result.rank(1), "rank5": result.rank(5)}


def _warn_of_collapse(log: RunLog, state: State, means: dict[str, float], run: Run) -> None:
    """Say so when the loss sits where a network that sees nothing has it."""
    trivial = run.network.criterion.trivial(run.batches.identities)
    state.trivial_epochs = state.trivial_epochs + 1 if is_trivial(means, trivial) else 0
    if is_due(state.trivial_epochs, trivial):
        warning = collapse_warning(means, trivial, state.trivial_epochs, run.config.model.neck)
        log.write("collapse", epoch=state.epoch, message=warning)
        log.say(warning)


def _advice(folder: Path, state: State) -> str:
    if state.epoch:
        return (
            f"The last good state is after epoch {state.epoch}, in {folder / 'state.pt'}; start again with a lower "
            "--optim.lr, a longer --optim.warmup_epochs or --run.precision float32."
        )
    return "No epoch was finished: lower --optim.lr, or set --run.precision float32."


def _versions() -> dict[str, str]:
    import platform

    import timm

    import strongreid

    return {
        "strongreid": strongreid.__version__,
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "machine": platform.platform(),
    }
