"""Asks the engine what is going on, or looks itself where the engine does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowrt.driver import Driver
    from flowrt.intake import Intake
    from flowrt.observe.explain import Explanation
    from flowrt.runs import Results

PATIENCE = 1.0  # seconds to wait for the engine between two of its calls; arbitrary: it answers within milliseconds, or is in one that is long


class Doctor:
    """Explains one runtime. Called on: any thread."""

    def __init__(self, driver: Driver, intake: Intake, results: Results, max_results: int) -> None:
        self._driver = driver
        self._intake = intake
        self._results = results
        self._max_results = max_results
        driver.explain = self._on_stall

    def explain(self) -> Explanation:
        """Have the engine take a picture; take one without it if it is in a call that does not return."""
        driver = self._driver
        if driver.is_engine() or driver.at_rest():
            return self._picture(answered=True)
        taken: list[Explanation] = []

        def take() -> None:
            taken.append(self._picture(answered=True))
            driver.changed.wake()

        driver.post(take)
        if driver.wait_until(lambda: bool(taken), PATIENCE) and taken:
            return taken[0]
        return self._picture(answered=False)

    def _picture(self, *, answered: bool) -> Explanation:
        from flowrt.observe.facts import Around, explanation_of  # noqa: PLC0415 - most programs never ask

        driver = self._driver
        around = Around(
            driver.name,
            callers=len(driver.room.enlisted),
            dropped=self._intake.dropped,
            outside=self._intake.waiting,
            unread=self._results.unread,
            max_results=self._max_results,
            engine=driver.engine_ident,
            answered=answered,
        )
        return explanation_of(driver.engine, driver.seams.clock.now(), around)

    def _on_stall(self) -> Explanation | None:
        """Engine's thread: explain what cannot go on. The error it is for comes first: what goes wrong here is nobody's business."""
        try:
            return self._picture(answered=True)
        except Exception:
            return None
