//! What was found, for people and for programs. Similarities and names, never a template.

use std::collections::HashMap;

use rollcall_pipeline::PersonId;
use rollcall_stages::matching::calibration::{LeftOut, SAME_FACE, SURE, StrangerModel, Traffic, counted};
use serde::Serialize;

use crate::output;

const DAYS_A_YEAR: f64 = 365.0;
/// The closest people that are shown.
const CLOSEST: usize = 5;
/// From how much evidence of its own on a site speaks for itself.
const OWN_PART: f64 = 0.5;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// The similarity in force that many shots need for a name.
    pub(super) settled_similarity: f32,
    /// Who have templates.
    pub(super) people: usize,
    pub(super) traffic: Traffic,
    /// So many false names are put up with.
    pub(super) false_names_per_year: f64,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    people: usize,
    /// Of whom so many were held against all others: fewer than all where they are a sample.
    compared: usize,
    /// Of whom so many are expected at one door.
    roster: usize,
    templates: usize,
    /// Pairs of people that were compared.
    pairs: u64,
    visitors_per_day: f64,
    decisions_per_visitor: f64,
    wanted_false_names_per_year: f64,
    strangers: Strangers,
    /// `null` where nobody has two templates.
    genuine: Option<Genuine>,
    model: Model,
    configured: Threshold,
    /// `null` where no threshold will do.
    recommended: Option<Threshold>,
    advice: Vec<String>,
}

/// How alike different people are.
#[derive(Debug, Serialize)]
struct Strangers {
    median: f32,
    highest: f32,
    /// First the most alike.
    closest: Vec<Pair>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Pair {
    a: Who,
    b: Who,
    similarity: f32,
    /// So alike that it is one person under two names.
    probably_one_person: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Who {
    name: String,
    id: String,
}

/// How like themselves people are: each template beside the most similar other one of the same person.
#[derive(Debug, Serialize)]
struct Genuine {
    templates: usize,
    lowest: f32,
    lowest_of: Who,
    median: f32,
}

/// The normal distribution that the similarity of strangers is taken to have.
#[derive(Debug, Serialize)]
struct Model {
    mean: f64,
    deviation: f64,
    /// Which part of it is the site's own, 0 to 1; the rest is a prior from other people.
    own_part: f64,
}

/// What a threshold does.
#[derive(Debug, Serialize)]
struct Threshold {
    similarity: f32,
    false_names_per_day: f64,
    /// Not above this, with the certainty `sure`.
    false_names_per_day_at_most: f64,
    sure: f64,
    /// Pairs of people here who are that alike.
    pairs_that_reach_it: u64,
    /// What part of pairs reaches it at most, by counting alone.
    pairs_at_most: f64,
    /// The part of the templates that reach it beside another one of the same person.
    own_that_reach_it: Option<f64>,
}

impl Report {
    pub(super) fn new(
        left_out: &LeftOut,
        templates: usize,
        names: &HashMap<PersonId, String>,
        question: &Question,
    ) -> Self {
        let Question { settled_similarity, people, traffic, false_names_per_year } = *question;
        let who = |id: PersonId| Who { name: names.get(&id).cloned().unwrap_or_default(), id: id.to_string() };
        let model = StrangerModel::of(&left_out.strangers, people);
        let threshold = |similarity: f32| {
            let names = model.false_names_per_day(similarity, &traffic);
            let reached = left_out.strangers.at_least(similarity);
            let genuine = &left_out.genuine;
            let own = genuine.iter().filter(|(_, own)| *own >= similarity).count();
            Threshold {
                similarity,
                false_names_per_day: names.expected,
                false_names_per_day_at_most: names.bound,
                sure: SURE,
                pairs_that_reach_it: reached,
                pairs_at_most: counted(reached, left_out.strangers.pairs()),
                own_that_reach_it: (!genuine.is_empty()).then(|| own as f64 / genuine.len() as f64),
            }
        };
        let closest = closest(left_out, who);
        let mut report = Self {
            people,
            compared: left_out.probes,
            roster: traffic.people,
            templates,
            pairs: left_out.strangers.pairs(),
            visitors_per_day: traffic.visitors_per_day,
            decisions_per_visitor: traffic.decisions,
            wanted_false_names_per_year: false_names_per_year,
            strangers: Strangers {
                median: left_out.strangers.quantile(0.5).unwrap_or_default(),
                highest: closest.first().map_or(0.0, |pair| pair.similarity),
                closest,
            },
            genuine: genuine(left_out, who),
            model: Model { mean: model.mean(), deviation: model.deviation(), own_part: model.own_part() },
            configured: threshold(settled_similarity),
            recommended: model.threshold(false_names_per_year / DAYS_A_YEAR, &traffic).map(threshold),
            advice: Vec::new(),
        };
        report.advice = report.advise();
        report
    }

    fn advise(&self) -> Vec<String> {
        let mut advice = Vec::new();
        let wanted = self.wanted_false_names_per_year;
        match &self.recommended {
            None => advice.push(format!(
                "No threshold keeps false names to {wanted} a year: have fewer people expected at one door, or put up with more of \
                 them (--false-names-per-year)."
            )),
            Some(found) if found.similarity > self.configured.similarity => advice.push(format!(
                "To keep false names to {wanted} a year set recognition.settled_similarity = {:.2} and \
                 recognition.early_similarity = {:.2}; more of the enrolled will be left for review then. The margin to the \
                 second-best person and the agreement of shots, which are not counted here, hold some back at the \
                 configured {:.2}.",
                found.similarity,
                (found.similarity + 0.1).min(0.95),
                self.configured.similarity
            )),
            Some(found) => advice.push(format!(
                "The configured {:.2} is strict enough; {:.2} would do.",
                self.configured.similarity, found.similarity
            )),
        }
        let own = self.model.own_part;
        if own < OWN_PART {
            advice.push(format!(
                "{} people cannot say much about rare strangers: {:.0} % of this estimate is their own, the rest is of other \
                 people (Labeled Faces in the Wild). Take it as an order of magnitude, and look at what is at most.",
                self.people,
                100.0 * own
            ));
        }
        for pair in self.strangers.closest.iter().filter(|pair| pair.probably_one_person) {
            advice.push(format!(
                "{} and {} are as alike ({:.2}) as one person: is somebody enrolled under two names? They do not count in the \
                 estimate.",
                pair.a.name, pair.b.name, pair.similarity
            ));
        }
        if self.genuine.is_none() {
            advice.push(
                "Nobody has two templates, so nothing is known about how like themselves people are: enrol a second picture."
                    .to_owned(),
            );
        }
        advice
    }

    pub(super) fn text(&self) -> String {
        let pairs = if self.pairs == 1 { "1 pair".to_owned() } else { format!("{} pairs", self.pairs) };
        let sample = if self.compared < self.people {
            format!(", those of a sample of {} of {} people", self.compared, self.people)
        } else {
            String::new()
        };
        let mut lines = vec![
            format!("{} people with {} templates, {pairs} of people compared{sample}", self.people, self.templates),
            format!(
                "different people: median {:.2}, highest stranger score {:.2}",
                self.strangers.median, self.strangers.highest
            ),
        ];
        for Pair { a, b, similarity, .. } in &self.strangers.closest {
            lines.push(format!("  {similarity:.2}  {} – {}", a.name, b.name));
        }
        if let Some(Genuine { templates, lowest, lowest_of, median }) = &self.genuine {
            lines.push(format!(
                "the same person ({templates} templates beside their best other one): median {median:.2}, lowest {lowest:.2} \
                 ({})",
                lowest_of.name
            ));
        }
        lines.push(format!(
            "\nstrangers given one of {} names, of {} a day with {} decisions each:",
            self.roster, self.visitors_per_day, self.decisions_per_visitor
        ));
        let heading = ["", "threshold", "a day", "a year", "at most a year*", "own pictures that reach it"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.push(self.configured.row("configured"));
        rows.extend(self.recommended.as_ref().map(|found| found.row("recommended")));
        lines.push(output::table(&rows));
        lines.push(format!("* with a certainty of {:.0} %, if the similarity of strangers is normal\n", 100.0 * SURE));
        lines.extend(self.advice.iter().cloned());
        lines.join("\n")
    }
}

impl Threshold {
    fn row(&self, label: &str) -> Vec<String> {
        let year = |a_day: f64| small(a_day * DAYS_A_YEAR);
        vec![
            label.to_owned(),
            format!("{:.2}", self.similarity),
            small(self.false_names_per_day),
            year(self.false_names_per_day),
            year(self.false_names_per_day_at_most),
            self.own_that_reach_it.map_or("–".to_owned(), |part| format!("{:.1} %", 100.0 * part)),
        ]
    }
}

/// As many digits as mean something.
fn small(value: f64) -> String {
    match value {
        10.0.. => format!("{value:.0}"),
        0.1.. => format!("{value:.1}"),
        0.001.. => format!("{value:.3}"),
        _ => format!("{value:.0e}"),
    }
}

fn closest(left_out: &LeftOut, who: impl Fn(PersonId) -> Who) -> Vec<Pair> {
    let found = left_out.nearest.iter().filter_map(|(person, nearest)| {
        let nearest = nearest.as_ref()?;
        // Both may be each other's nearest: told once.
        let (a, b) = (*person.min(&nearest.person), *person.max(&nearest.person));
        Some((a, b, nearest.similarity))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by(|x, y| y.2.total_cmp(&x.2).then_with(|| (x.0, x.1).cmp(&(y.0, y.1))));
    found.dedup_by_key(|pair| (pair.0, pair.1));
    let pair = |(a, b, similarity): (PersonId, PersonId, f32)| Pair {
        a: who(a),
        b: who(b),
        similarity,
        probably_one_person: similarity >= SAME_FACE,
    };
    found.into_iter().take(CLOSEST).map(pair).collect()
}

fn genuine(left_out: &LeftOut, who: impl Fn(PersonId) -> Who) -> Option<Genuine> {
    let mut sorted = left_out.genuine.clone();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (lowest_of, lowest) = *sorted.first()?;
    let median = sorted[sorted.len() / 2].1;
    Some(Genuine { templates: sorted.len(), lowest, lowest_of: who(lowest_of), median })
}

#[cfg(test)]
mod tests {
    use rollcall_pipeline::{Embedding, GalleryVersion, ModelId};
    use rollcall_stages::matching::Gallery;
    use uuid::Uuid;

    use super::*;

    /// People at so many degrees.
    fn report(people: &[(&str, &[f32])], visitors_per_day: f64) -> Report {
        sampled(people, visitors_per_day, usize::MAX)
    }

    fn sampled(people: &[(&str, &[f32])], visitors_per_day: f64, probes: usize) -> Report {
        let id = |name: &str| PersonId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()));
        let template = |degrees: &f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            Embedding::normalized(ModelId::new("m"), vec![cos, sin]).unwrap()
        };
        let templates = people.iter().flat_map(|(name, all)| all.iter().map(|d| (id(name), template(d))));
        let gallery = Gallery::new(GalleryVersion(1), ModelId::new("m"), templates).unwrap();
        let names = people.iter().map(|(name, _)| (id(name), (*name).to_owned())).collect();
        let question = Question {
            settled_similarity: 0.52,
            people: people.len(),
            traffic: Traffic { people: people.len(), visitors_per_day, decisions: 2.0 },
            false_names_per_year: 1.0,
        };
        Report::new(&gallery.leave_one_out(probes, || ()), gallery.templates(), &names, &question)
    }

    #[test]
    fn it_names_the_closest_once_and_says_what_is_not_known() {
        let told = report(&[("Ada", &[0.0, 20.0]), ("Bob", &[90.0]), ("Eve", &[180.0])], 100.0);
        let pairs: Vec<_> = told.strangers.closest.iter().map(|p| (p.similarity * 100.0).round()).collect();
        assert_eq!((pairs, told.pairs), (vec![34.0, 0.0], 3));
        assert_eq!(told.genuine.as_ref().map(|g| (g.templates, g.lowest_of.name.as_str())), Some((2, "Ada")));
        assert!(told.advice.iter().any(|a| a.contains("cannot say much")), "{:?}", told.advice);
        assert!(told.recommended.is_some_and(|r| r.false_names_per_day * 365.0 <= 1.0));
    }

    #[test]
    fn one_person_under_two_names_is_pointed_out_and_does_not_count() {
        let told = report(&[("Ada", &[0.0]), ("Ada again", &[10.0]), ("Bob", &[90.0])], 1.0);
        assert!(told.strangers.closest[0].probably_one_person);
        let advice = told.advice.join("\n");
        assert!(advice.contains("enrolled under two names") && advice.contains("Nobody has two templates"), "{advice}");
        let apart = report(&[("Ada", &[0.0]), ("Bob", &[90.0])], 1.0);
        assert!((told.model.mean - apart.model.mean).abs() < 0.02);
    }

    #[test]
    fn a_sample_says_that_it_is_one() {
        let people: [(&str, &[f32]); 3] = [("Ada", &[0.0]), ("Bob", &[90.0]), ("Eve", &[180.0])];
        let told = sampled(&people, 1.0, 1);
        assert_eq!((told.compared, told.people, told.pairs), (1, 3, 2));
        let first = "3 people with 3 templates, 2 pairs of people compared, those of a sample of 1 of 3 people\n";
        assert!(told.text().starts_with(first), "{}", told.text());
        let all = sampled(&people, 1.0, 3);
        assert!(all.compared == 3 && !all.text().contains("sample"), "{}", all.text());
    }

    #[test]
    fn more_traffic_asks_for_more() {
        let at = |visitors| report(&[("Ada", &[0.0]), ("Bob", &[90.0])], visitors).recommended.unwrap().similarity;
        assert!(at(1.0) < at(1000.0));
    }
}
