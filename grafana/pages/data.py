"""Data and drift: does what comes in still look like what the model learned from?"""

from __future__ import annotations

from typing import Final

import drift
import quality
from board import A_MODEL, VARIANTS, VERSIONS, Choice, Page, Section, Variable, values
from panels import Query, Steps, barred, drawn, stated
from signals import FEATURE, OF_FEATURE, REFERENCE, SAMPLES, TILES, WHO, labelled, rate, windowed
from tables import Column, link, merged, tabled
from vocabulary import prometheus

from mlobs.otel import names
from mlobs.sketch.noise import ACT, WARN

PSI, PSI_NOISE, SIGNIFICANT = windowed("psi:"), windowed("psi_noise:"), windowed("psi_significant:")
KS, KS_NOISE = windowed("ks:"), windowed("ks_noise:")
SEEN, COUNT = windowed("observations:increase"), windowed("observations:count")
LIMITS: Final[Steps] = ((WARN, "orange"), (ACT, "red"))
FEW: Final[Steps] = ((drift.LEAST, "green"),)  # below: orange
HERE: Final = ("prometheus_datasource", "model", "version", "variant", "window")


def page() -> Page:
    """All features of one version, then one of them."""
    observed = prometheus(names.FEATURE_OBSERVATIONS)
    violations = rate(names.FEATURE_VIOLATIONS, WHO, "feature, kind")
    now = [
        stated(
            "Drifted",
            f"Inputs whose PSI is above {ACT} and above what sampling noise reaches.",
            "short",
            Query(f'sum({SIGNIFICANT}{{{WHO}, role="input"}} > bool {ACT})'),
            steps=((1, "red"),),
            decimals=0,
        ),
        stated(
            "Drifting",
            f"Inputs whose PSI is between {WARN} and {ACT} and above what sampling noise reaches.",
            "short",
            Query(
                f'sum({SIGNIFICANT}{{{WHO}, role="input"}} > bool {WARN})'
                f' - sum({SIGNIFICANT}{{{WHO}, role="input"}} > bool {ACT})'
            ),
            steps=((1, "orange"),),
            decimals=0,
        ),
        stated(
            "Watched",
            "Inputs that have a reference, and are compared with it.",
            "short",
            Query(f'count({SAMPLES}{{{WHO}, role="input"}})'),
            decimals=0,
        ),
        stated(
            "Without reference",
            "Features that are counted in bins while nobody tells the reference's shares: their drift is unknown.",
            "short",
            Query(
                f"count(group by ({FEATURE}) ({TILES}{{{WHO}}}) unless on ({FEATURE}) {SAMPLES})"
                f" or 0 * count({SAMPLES}{{{WHO}}})"
            ),
            steps=((1, "orange"),),
            decimals=0,
        ),
        stated(
            "Do the answers drift?",
            f"The largest PSI of what the model answers; {WARN} is a change, {ACT} a large one.",
            "none",
            Query(f'max({SIGNIFICANT}{{{WHO}, role="output"}})'),
            steps=LIMITS,
            decimals=2,
            empty="no outputs in the reference",
        ),
        stated(
            "Does it hurt?",
            "Realised less promised quality of a day: near zero, drift has not hurt yet.",
            "percentunit",
            Query(f"min({quality.GAP}{{{WHO}}})"),
            steps=((-quality.DROP, "orange"), (-quality.DROP / 2, "green")),
            base="red",
            decimals=1,
            empty="no truths",
        ),
    ]
    features = tabled(
        "Features",
        "Distance of each feature from its reference; PSI means something above its noise floor only, and a name opens it below.",
        [
            Column("PSI", "none", f"max by ({FEATURE}) ({PSI}{{{WHO}}})", decimals=3),
            Column("significant", "none", f"max by ({FEATURE}) ({SIGNIFICANT}{{{WHO}}})", LIMITS, decimals=3),
            Column("noise floor", "none", f"max by ({FEATURE}) ({PSI_NOISE}{{{WHO}}})", decimals=3),
            Column("KS", "none", f"max by ({FEATURE}) ({KS}{{{WHO}}})", decimals=3),
            Column("values", "short", f"max by ({FEATURE}) ({COUNT}{{{WHO}}})", FEW, "orange"),
        ],
        links={"feature": link("Show below", "mlobs-data", {"role": "role", "feature": "feature"}, HERE)},
        sort="significant",
        hidden=("model_name", "model_version"),
    )
    moving = drawn(
        "PSI of the ten that moved most",
        f"PSI where it is above its noise floor, else 0: {WARN} is a change, {ACT} a large one.",
        "none",
        Query(f"topk(10, max by (role, feature) ({SIGNIFICANT}{{{WHO}}}))", "{{feature}} ({{role}})"),
        steps=LIMITS,
    )
    live = f"{labelled(f'{SEEN}{{{OF_FEATURE}}}')} / on () group_left () (sum({SEEN}{{{OF_FEATURE}}}) > 0)"
    learned = labelled(f"{REFERENCE}{{{OF_FEATURE}}}", "avg")
    beside = barred(
        "$feature: live beside reference",
        "The share of values in each bin, of the window and of the reference: where the bars part, the feature moved.",
        "percentunit",
        "label",
        [Query(live, "live"), Query(learned, "reference")],
        merged("bin", by="bin"),
        label="$feature",
    )
    distances = [
        drawn(
            "$feature: PSI and its noise floor",
            "PSI of the window beside what sampling noise alone exceeds once in a thousand times.",
            "none",
            Query(f"max by (model_variant) ({PSI}{{{OF_FEATURE}}})", "PSI {{model_variant}}"),
            Query(f"max by (model_variant) ({PSI_NOISE}{{{OF_FEATURE}}})", "noise floor {{model_variant}}"),
            steps=LIMITS,
        ),
        drawn(
            "$feature: KS and its noise floor",
            "Kolmogorov-Smirnov distance of ordered bins beside what sampling noise alone exceeds once in a thousand times.",
            "none",
            Query(f"max by (model_variant) ({KS}{{{OF_FEATURE}}})", "KS {{model_variant}}"),
            Query(f"max by (model_variant) ({KS_NOISE}{{{OF_FEATURE}}})", "noise floor {{model_variant}}"),
        ),
    ]
    over_time = [
        drawn(
            "$feature: shares over time",
            "The share of each bin as it comes in: a step is a deployment or a broken pipe, a slope is the world.",
            "cps",
            Query(
                labelled(f"sum by ({FEATURE}, bin) (rate({observed}{{{OF_FEATURE}}}[$__rate_interval]))"), "{{label}}"
            ),
            stacked=True,
            whole=True,
        ),
        drawn(
            "$feature: what is wrong with its values",
            "Values a second that are missing, infinite, of a wrong type, out of range or unseen.",
            "cps",
            Query(rate(names.FEATURE_VIOLATIONS, f'{WHO}, feature="$feature"', "kind"), "{{kind}}"),
        ),
        drawn(
            "$feature: as its processes see it",
            "The largest PSI that any process tells of its own short window: sooner than the sum over all, and noisier.",
            "none",
            Query(f"max by (window) ({prometheus(names.DRIFT_PSI)}{{{OF_FEATURE}}})", "PSI {{window}}, one process"),
            Query(
                f"max by (window) ({prometheus(names.DRIFT_PSI_NOISE)}{{{OF_FEATURE}}})",
                "noise {{window}}, one process",
            ),
            steps=LIMITS,
        ),
    ]
    broken = [
        drawn(
            "What is wrong with values, by feature",
            "Values a second that break a rule of the reference, of the ten features with the most.",
            "cps",
            Query(f"topk(10, {violations})", "{{feature}} {{kind}}"),
        ),
        drawn(
            "What is wrong with tables",
            "Rows × columns a second where the columns are not the reference's: missing, extra, out of order, of another type.",
            "cps",
            Query(rate(names.SCHEMA_VIOLATIONS, WHO, "kind"), "{{kind}}"),
        ),
        drawn(
            "Processes that see drift",
            "How many processes call a feature drifting (1) or drifted (2) by their own window.",
            "short",
            Query(
                f"sum by (feature, window) ({prometheus(names.DRIFT_SIGNIFICANT)}{{{WHO}}} >= bool 1)",
                "{{feature}} {{window}}",
            ),
        ),
    ]
    medians = [
        Query(
            f"histogram_quantile({share}, sum by (feature) "
            f"(rate({prometheus(names.FEATURE_VALUE)}{{{WHO}}}[$__rate_interval])))",
            f"p{share * 100:g} {{{{feature}}}}",
        )
        for share in (0.05, 0.5, 0.95)
    ]
    without = drawn(
        "Values without a reference",
        "5th, 50th and 95th percentile of numeric features that no reference partitions: give them one to see drift.",
        "short",
        *medians,
        least=None,
    )
    return Page(
        "data",
        "Data and drift",
        "Does what comes in still look like what the model learned from, and if not, what moved?",
        [
            A_MODEL,
            VERSIONS._replace(many=False),
            VARIANTS,
            Choice("window", "Window", tuple(drift.WINDOWS)),
            Variable("role", "Role", values(observed, "role", WHO), many=False),
            Variable("feature", "Feature", values(observed, "feature", f'{WHO}, role="$role"'), many=False),
        ],
        [
            Section("All features", [(4, [(4, one) for one in now]), (9, [(12, features), (12, moving)])]),
            Section(
                "Feature $feature",
                [(9, [(10, beside), *((7, one) for one in distances)]), (8, [(8, one) for one in over_time])],
            ),
            Section("Broken input", [(8, [(8, one) for one in broken])]),
            Section("Features without a reference", [(8, [(24, without)])], folded=True),
        ],
        time="now-24h",
    )
