//! What was seen, what was foretold, and how a report travels from the experiment's process.

use super::{Aspect, Refusal};

/// What was seen of one aspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// "shared", "copied", "own"...
    Word(String),
    /// It could not be looked at here.
    Nothing,
}

/// One aspect of one child, as the kernel showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) aspect: Aspect,
    pub(crate) seen: Seen,
    /// How it was seen; or why it was not.
    pub(crate) proof: String,
}

/// A fact beside its prediction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) foretold: String,
    pub(crate) fact: Fact,
}

impl Finding {
    /// Whether what was seen is not what was foretold. What could not be seen differs from
    /// nothing.
    pub(crate) fn differs(&self) -> bool {
        matches!(&self.fact.seen, Seen::Word(word) if *word != self.foretold)
    }

    /// The word that was seen, or a dash.
    pub(crate) fn observed(&self) -> &str {
        match &self.fact.seen {
            Seen::Word(word) => word,
            Seen::Nothing => "-",
        }
    }
}

/// What an experiment's process reports.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    Made(Vec<Fact>, String),
    Refused(Refusal),
}

/// One line: no tab and no line break is part of a word.
fn clean(text: &str) -> String {
    text.replace(['\t', '\n'], " ")
}

pub(super) fn write(facts: &[Fact], buffer: &str) -> String {
    let mut text = String::new();
    for fact in facts {
        let word = match &fact.seen {
            Seen::Word(word) => word,
            Seen::Nothing => "",
        };
        text += &format!(
            "fact\t{}\t{}\t{}\n",
            fact.aspect.id(),
            clean(word),
            clean(&fact.proof)
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
    let (mut facts, mut buffer) = (Vec::new(), String::new());
    for line in text.lines() {
        let mut fields = line.split('\t');
        match fields.next() {
            Some("fact") => facts.push(read_fact(fields).ok_or("a line of the report is broken")?),
            Some("buffer") => buffer = fields.next().unwrap_or("").to_owned(),
            Some("refused") => {
                let errno = fields.next().and_then(|number| number.parse().ok());
                return Ok(Report::Refused(Refusal {
                    errno: errno.filter(|&errno| errno != 0),
                    why: fields.next().unwrap_or("").to_owned(),
                }));
            }
            Some("end") => {
                facts.sort_by_key(|fact| fact.aspect);
                return Ok(Report::Made(facts, buffer));
            }
            _ => return Err("a line of the report is unknown".into()),
        }
    }
    Err("the report breaks off".into())
}

fn read_fact<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<Fact> {
    let aspect = Aspect::by_id(fields.next()?)?;
    let seen = match fields.next()? {
        "" => Seen::Nothing,
        word => Seen::Word(word.to_owned()),
    };
    let proof = fields.next()?.to_owned();
    Some(Fact {
        aspect,
        seen,
        proof,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        let facts = [
            Fact {
                aspect: Aspect::Memory,
                seen: Seen::Word("shared".into()),
                proof: "kcmp".into(),
            },
            Fact {
                aspect: Aspect::Undo,
                seen: Seen::Nothing,
                proof: String::new(),
            },
        ];
        let text = write(&facts, "hello");
        let read = read(&text).unwrap();
        assert_eq!(read, Report::Made(facts.to_vec(), "hello".into()));
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
