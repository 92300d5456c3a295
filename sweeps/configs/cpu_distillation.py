"""Students of three sizes under each of three teachers, and without one.

    isoflop sweep cpu-teachers --no-report
    isoflop sweep cpu-distillation --no-report

Cost: 2.88e12 FLOPs of the students' own and 1.51e12 of their teachers' forward passes, ten minutes on two CPU
cores that other work had most of.
Numbers to expect: those of docs/laws-measured/distillation.md.

The names of the teachers hang on the tokens of `wiki-intro` alone: whoever trains `cpu-teachers` gets them.
"""

from isoflop.sweeps.configs.cpu_teachers import SWEEP as TEACHERS
from isoflop.sweeps.grids.config import Axis

SWEEP = TEACHERS.with_options(
    name="cpu-distillation",
    title="Students of three sizes, distilled from three teachers and trained without one",
    budgets=(3e10, 9e10),
    ladder=(16, 24, 32),
    sizes=3,
    centre_budget=3e10,
    seed=0,
    seeds=2,
    keep="none",
    axes=(
        Axis(
            "teacher",
            (
                "none",
                "outputs/cpu-teachers:5db224c096bac2b2",
                "outputs/cpu-teachers:97ba5de11e0968bd",
                "outputs/cpu-teachers:56829c284ffa336b",
            ),
        ),
    ),
)
