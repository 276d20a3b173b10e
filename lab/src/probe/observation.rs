//! What was observed, what was predicted, and how a report travels from the experiment's process.

use super::plan::Refusal;
use super::property::Property;

/// What was seen of one aspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// "shared", "copied", "own"...
    Word(String),
    /// It could not be looked at here.
    Unavailable,
}

/// One aspect of one child, as the kernel showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    pub(crate) property: Property,
    pub(crate) observed: Observed,
    /// How it was seen; or why it was not.
    pub(crate) proof: String,
}

/// A fact beside its prediction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) predicted: String,
    pub(crate) observation: Observation,
}

impl Comparison {
    /// Whether the observation is not as predicted. What could not be observed is no
    /// mismatch.
    pub(crate) fn is_mismatch(&self) -> bool {
        matches!(&self.observation.observed, Observed::Word(word) if *word != self.predicted)
    }

    /// The word that was seen, or a dash.
    pub(crate) fn observed(&self) -> &str {
        match &self.observation.observed {
            Observed::Word(word) => word,
            Observed::Unavailable => "-",
        }
    }
}

/// What an experiment's process reports.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    Made(Vec<Observation>, String),
    Refused(Refusal),
}

/// One line: no tab and no line break is part of a word.
fn clean(text: &str) -> String {
    text.replace(['\t', '\n'], " ")
}

pub(super) fn write(observations: &[Observation], buffer: &str) -> String {
    let mut text = String::new();
    for observation in observations {
        let word = match &observation.observed {
            Observed::Word(word) => word,
            Observed::Unavailable => "",
        };
        text += &format!(
            "fact\t{}\t{}\t{}\n",
            observation.property.id(),
            clean(word),
            clean(&observation.proof)
        );
    }
    text + &format!("buffer\t{}\nend\n", clean(buffer))
}

pub(super) fn write_refusal(refusal: &Refusal) -> String {
    let errno = refusal.errno.unwrap_or(0);
    format!("refused\t{errno}\t{}\nend\n", clean(&refusal.why))
}

/// Reads what `write` or `write_refusal` wrote.
///
/// # Errors
/// One line: the report is not whole.
pub(super) fn read(text: &str) -> Result<Report, String> {
    let (mut observations, mut buffer) = (Vec::new(), String::new());
    for line in text.lines() {
        let mut fields = line.split('\t');
        match fields.next() {
            Some("fact") => {
                observations.push(read_observation(fields).ok_or("a line of the report is broken")?)
            }
            Some("buffer") => buffer = fields.next().unwrap_or("").to_owned(),
            Some("refused") => {
                let errno = fields.next().and_then(|number| number.parse().ok());
                return Ok(Report::Refused(Refusal {
                    errno: errno.filter(|&errno| errno != 0),
                    why: fields.next().unwrap_or("").to_owned(),
                }));
            }
            Some("end") => {
                observations.sort_by_key(|observation| observation.property);
                return Ok(Report::Made(observations, buffer));
            }
            _ => return Err("a line of the report is unknown".into()),
        }
    }
    Err("the report breaks off".into())
}

fn read_observation<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<Observation> {
    let property = Property::by_id(fields.next()?)?;
    let observed = match fields.next()? {
        "" => Observed::Unavailable,
        word => Observed::Word(word.to_owned()),
    };
    let proof = fields.next()?.to_owned();
    Some(Observation {
        property,
        observed,
        proof,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        let observations = [
            Observation {
                property: Property::Memory,
                observed: Observed::Word("shared".into()),
                proof: "kcmp".into(),
            },
            Observation {
                property: Property::Undo,
                observed: Observed::Unavailable,
                proof: String::new(),
            },
        ];
        let text = write(&observations, "hello");
        let read = read(&text).unwrap();
        assert_eq!(read, Report::Made(observations.to_vec(), "hello".into()));
    }

    #[test]
    fn half_a_report_is_none() {
        let text = write(&[], "hello");
        assert!(read(text.strip_suffix("end\n").unwrap()).is_err());
        assert!(read("nonsense\nend\n").is_err());
        for errno in [None, Some(libc::EPERM)] {
            let refusal = Refusal {
                why: "no".into(),
                errno,
            };
            assert_eq!(read(&write_refusal(&refusal)), Ok(Report::Refused(refusal)));
        }
    }
}
