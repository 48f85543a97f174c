//! What the maps have to say on the page.

use super::config::{Config, Family};
use super::explorer;
use super::summary::{self, Boundary, MapKey, MapSummary};
use linstab_dynamics::sampling::Loader;
use linstab_report::conclusion::conclude;
use linstab_report::section::{Figure, Headline, Map, Number, Picture, Section, Table};
use linstab_report::text::short;
use linstab_report::text::{list, percent, range};

/// The section of the maps.
pub(super) fn section(config: &Config, summaries: &[MapSummary], loaders: Vec<String>) -> Section {
    Section {
        title: "The stability map: where do runs diverge?".to_owned(),
        short_title: "Stability map".to_owned(),
        paper: paper(config),
        findings: findings(config, summaries, loaders),
        headline: headline(config, summaries),
        figures: figures(config, summaries),
        map: Some(map(summaries)),
        tables: vec![table(summaries)],
        ..Section::default()
    }
}

fn paper(config: &Config) -> Vec<String> {
    let Config { num_samples, sharpness, num_steps, num_repetitions, .. } = config;
    vec![
        format!(
            "Figure 1 (a) marks over the batch size B and the coherence σ where SAM diverges on a family of {num_samples} samples whose \
             mean curvature is {sharpness}, and draws two criteria through it: Theorem 3.2, below which runs must diverge, and Theorem 3.3, \
             above which a stable family exists. (b) lays the boundaries of SGD, random perturbation and SAM over one another: the first \
             two largely coincide, SAM's stable region is smaller. (c) shows it shrink as ρ/α grows."
        ),
        format!(
            "The protocol: {num_repetitions} runs of {num_steps} steps a cell, diverged if more than half of them grow {}-fold. We found no \
             statement of the learning rates and ρ/α of the panels; those here are ours.",
            config.divergence_factor
        ),
    ]
}

/// The summaries with one sampling scheme, learning rate and optimizer.
fn of(
    summaries: &[MapSummary],
    optimizer: Family,
    sampling: usize,
    rate: f64,
    config: &Config,
) -> Vec<MapSummary> {
    let wanted = |one: &&MapSummary| {
        one.optimizer == optimizer
            && one.sampling == config.sampling[sampling]
            && one.learning_rate.to_bits() == rate.to_bits()
    };
    summaries.iter().filter(wanted).cloned().collect()
}

fn share(summary: &MapSummary, boundary: Boundary) -> String {
    percent(summary.right(boundary), summary.num_cells)
}

fn headline(config: &Config, summaries: &[MapSummary]) -> Option<Headline> {
    let summary = summary::reference(config, summaries)?;
    let [lyapunov, theorem, mean_square] = [Boundary::Lyapunov, Boundary::Theorem33, Boundary::MeanSquare]
        .map(|boundary| share(summary, boundary));
    let best = best(&Boundary::ALL.map(|boundary| (boundary, summary.right(boundary))));
    let follows = best == Some(Boundary::Lyapunov);
    let title = summary.key().title();
    Some(Headline {
        title: simulated_boundary(best),
        numbers: vec![Number::new(&lyapunov, "Lyapunov exponent"), Number::new(&theorem, "Theorem 3.3")],
        sentence: format!(
            "Of {} cells ({title}), the sign of the Lyapunov exponent predicts {} ({lyapunov}) as they were simulated, the exact mean-square \
             threshold {mean_square}, Theorem 3.3 {theorem}. {}",
            summary.num_cells,
            summary.right(Boundary::Lyapunov),
            conclude(
                follows,
                "The published picture shows how almost every run ends, not the mean square of which the theorems speak.",
                "The published picture does not show how almost every run ends."
            )
        ),
        picture: Picture::new(
            "stability-map-headline",
            format!(
                "Map of {title} over batch size and coherence: orange cells, in which runs diverge, a vermilion curve for the Lyapunov exponent, a blue one \
                 for the exact mean square, dashed ones for Theorem 3.3 and the divergence criterion."
            ),
            "stability-map",
        ),
    })
}

/// The boundary that predicts most cells; `None` if several do.
fn best(right: &[(Boundary, usize)]) -> Option<Boundary> {
    let most = right.iter().map(|(_, count)| *count).max()?;
    let mut with_most = right.iter().filter(|(_, count)| *count == most);
    let best = with_most.next().map(|(boundary, _)| *boundary);
    if with_most.next().is_none() { best } else { None }
}

fn simulated_boundary(best: Option<Boundary>) -> String {
    match best {
        Some(Boundary::Lyapunov) => {
            "The simulated boundary is the Lyapunov boundary, not the theorem's".to_owned()
        }
        Some(other) => format!("The simulated boundary is best told by: {}", other.title()),
        None => "Several boundaries tell the simulated one equally well".to_owned(),
    }
}

/// In how many maps the Lyapunov exponent predicts most cells.
fn best_of_maps(summaries: &[MapSummary]) -> String {
    let counts = |one: &MapSummary| Boundary::ALL.map(|boundary| (boundary, one.right(boundary)));
    let num_best = summaries.iter().filter(|one| best(&counts(one)) == Some(Boundary::Lyapunov)).count();
    let told = format!("The exponent is the best of the four in {num_best} of {} maps", summaries.len());
    conclude(
        2 * num_best > summaries.len(),
        format!(
            "{told}: between the mean-square boundary and the Lyapunov boundary the mean square grows, carried by ever rarer runs, while almost every run \
             converges."
        ),
        format!("{told}."),
    )
}

fn findings(config: &Config, summaries: &[MapSummary], loaders: Vec<String>) -> Vec<String> {
    let mut findings = Vec::new();
    if !summaries.is_empty() {
        let shares = |boundary: Boundary| {
            let of = |one: &MapSummary| 100.0 * one.right(boundary) as f64 / one.num_cells as f64;
            range(summaries.iter().map(of), |share| format!("{share:.1}"))
        };
        findings.push(format!(
            "**Over all {} maps** the Lyapunov exponent predicts {} % of the cells as they were simulated, the exact mean square {} %, \
             Theorem 3.3 {} % and the paper's divergence criterion {} %. {}",
            summaries.len(),
            shares(Boundary::Lyapunov),
            shares(Boundary::MeanSquare),
            shares(Boundary::Theorem33),
            shares(Boundary::DivergenceCriterion),
            best_of_maps(summaries)
        ));
    }
    let sampling = config.sampling[0].title();
    for &rate in &config.learning_rate {
        let stable = |optimizer| of(summaries, optimizer, 0, rate, config).first().map(|one| one.num_stable);
        let (sgd, noisy) = (stable(Family::Sgd), stable(Family::RandomPerturbation));
        let sam = of(summaries, Family::Sam, 0, rate, config);
        let mut said = Vec::new();
        said.extend(sgd.map(|count| format!("SGD is stable in {count} cells")));
        said.extend(noisy.map(|count| format!("random perturbation in {count}")));
        if !sam.is_empty() {
            let ratios: Vec<String> = sam.iter().map(|one| short(one.rho_over_alpha)).collect();
            let counts: Vec<String> = sam.iter().map(|one| one.num_stable.to_string()).collect();
            said.push(format!("SAM in {} for ρ/α = {}", list(&counts), list(&ratios)));
        }
        if !said.is_empty() {
            findings.push(format!("**η = {}, {sampling}:** {}.", short(rate), said.join("; ")));
        }
    }
    findings.extend(loaders);
    findings.push(
        "The exponent says how a run ends; the protocol asks whether it ever passes the cut. The two differ where noise of its own (random perturbation) \
         throws a run up again and again, and beyond the gradient-descent limit, where a batch can happen to cancel a direction."
            .to_owned(),
    );
    findings
}

fn figures(config: &Config, summaries: &[MapSummary]) -> Vec<Figure> {
    let has = |optimizer| summaries.iter().any(|one| one.optimizer == optimizer);
    let (sgd, sam) = (has(Family::Sgd), has(Family::Sam));
    let any = sgd || sam || has(Family::RandomPerturbation);
    let rates = list(&config.learning_rate.iter().take(2).map(|&rate| short(rate)).collect::<Vec<_>>());
    let mut figures = Vec::new();
    if sgd || sam {
        figures.push(Figure::new("figure-1a",
            "Simulated divergence, the paper's criteria and the exact boundaries",
            format!("SGD beside SAM at ρ/α = {}, a row for each η of {rates}. Orange: the runs of the cell diverge.", config.reference_rho_over_alpha),
            "Heat maps over batch size and coherence: orange cells, in which runs diverge, and the curves of the Lyapunov exponent, the exact mean square, \
             Theorem 3.3 and the divergence criterion.",
            "stability-map",
        ).of_the_paper("Figure 1 (a)"));
    }
    if any {
        figures.push(Figure::new("figure-1b",
            "SGD, random perturbation and SAM",
            format!("Boundaries of the three at η of {rates}; SAM at ρ/α = {}.", config.reference_rho_over_alpha),
            "Boundary curves over batch size and coherence, one each for SGD, random perturbation and SAM.",
            "stability-map",
        ).of_the_paper("Figure 1 (b)"));
    }
    if sgd || sam {
        figures.push(
            Figure::new(
                "figure-1c",
                "SAM at several ρ/α",
                format!("Boundaries of SAM as ρ/α grows, at η of {rates}."),
                "Boundary curves of SAM over batch size and coherence, one for each ratio.",
                "stability-map",
            )
            .of_the_paper("Figure 1 (c)"),
        );
    }
    if (sgd || sam) && config.sampling.iter().any(|sampling| matches!(sampling, Loader::Epochs(_))) {
        figures.push(Figure::new("stability-map-loaders",
            "Batches drawn afresh and a reshuffling loader",
            format!("SGD above, SAM at ρ/α = {} below, η = {}; to the right the exact boundaries are those of the loader.", config.reference_rho_over_alpha, short(config.learning_rate[0])),
            "Heat maps over batch size and coherence, to the left with batches drawn afresh, to the right reshuffled: orange cells, in which runs diverge, and the \
             curves of the Lyapunov exponent, the exact mean square, Theorem 3.3 and the divergence criterion.",
            "stability-map",
        ));
    }
    figures.push(Figure::new("stability-map-agreement",
        "Who predicts the simulation?",
        "For each map the share of its cells that each boundary predicts as they were simulated.".to_owned(),
        "A line for each map with a mark for each of the four boundaries, at the share of cells that it predicts.",
        "stability-map-summary",
    ));
    figures
}

fn map(summaries: &[MapSummary]) -> Map {
    Map {
        title: "Look at any cell".to_owned(),
        caption: format!(
            "{} maps, {} cells. Point at a cell, or focus the map and use the arrow keys: its numbers and the four verdicts on it stand beside \
             the map. The paper's criteria each claim one side only; silence is read as the other side. Numbers have four digits here, all \
             of them in the table; pictures of all maps are in `figures/maps`.",
            summaries.len(),
            summaries.iter().map(|one| one.num_cells).sum::<usize>()
        ),
        description: "Stability map over batch size and coherence; the arrow keys move from cell to cell"
            .to_owned(),
        embedded: explorer::PATH.to_owned(),
        data: "tables/stability-map.csv".to_owned(),
    }
}

fn table(summaries: &[MapSummary]) -> Table {
    let columns = [
        "map",
        "stable cells",
        "of all",
        "divergence criterion",
        "Theorem 3.3",
        "exact mean square",
        "Lyapunov exponent",
    ];
    let mut table = Table::new(
        "Cells that each boundary predicts as they were simulated",
        &columns,
        "stability-map-summary",
    );
    for summary in summaries {
        let key: MapKey = summary.key();
        let mut row = vec![key.title(), summary.num_stable.to_string(), summary.num_cells.to_string()];
        row.extend(Boundary::ALL.map(|boundary| share(summary, boundary)));
        table.rows.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_follows_from_the_numbers() {
        let counts = |[divergence, theorem, mean_square, lyapunov]: [usize; 4]| {
            let of = |boundary: Boundary| match boundary {
                Boundary::DivergenceCriterion => (boundary, divergence),
                Boundary::Theorem33 => (boundary, theorem),
                Boundary::MeanSquare => (boundary, mean_square),
                Boundary::Lyapunov => (boundary, lyapunov),
            };
            best(&Boundary::ALL.map(of))
        };
        assert!(
            simulated_boundary(counts([1, 2, 3, 4])).contains("is the Lyapunov boundary, not the theorem's")
        );
        let theorem = simulated_boundary(counts([1, 4, 3, 2]));
        assert!(
            theorem.starts_with("The simulated boundary is best told by: ") && theorem.contains("3.3"),
            "{theorem}"
        );
        assert!(simulated_boundary(counts([1, 4, 4, 2])).starts_with("Several boundaries"));
        assert!(best_of_maps(&[]).ends_with("in 0 of 0 maps."));
    }
}
