//! Whom a run is about, as the SDK says it: by a label of its own. Labels lie open in the journal and stand in answers; this one is taken out of
//! what is kept, and sealed.

use prost::encoding::{DecodeContext, WireType, decode_key, encode_key, skip_field};
use prost::{DecodeError, Message as _};

use crate::wire::RunLabels;

/// The label whose value is the subject.
pub const LABEL: &str = "tutti.dev/subject";
/// The field of the labels in the specification of a run.
const FIELD: u32 = 1;

/// The subject that a specification of a run names, and the specification without that. All else of it stays as it was sent.
pub fn take(run_spec: &[u8]) -> Result<(Option<String>, Vec<u8>), DecodeError> {
    let (mut labels, mut rest, mut left) = (RunLabels::default(), Vec::new(), run_spec);
    while !left.is_empty() {
        let field = left;
        let (number, kind) = decode_key(&mut left)?;
        if number == FIELD && kind == WireType::LengthDelimited {
            // Sent in several pieces they are one.
            labels.merge_length_delimited(&mut left)?;
            continue;
        }
        skip_field(kind, number, &mut left, DecodeContext::default())?;
        rest.extend(field.get(..field.len() - left.len()).unwrap_or_default());
    }
    let Some(subject) = labels.values.remove(LABEL) else { return Ok((None, run_spec.to_vec())) };
    if !labels.values.is_empty() {
        encode_key(FIELD, WireType::LengthDelimited, &mut rest);
        rest.extend(labels.encode_length_delimited_to_vec());
    }
    Ok((Some(subject), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RunSpec;

    fn spec(labels: &[(&str, &str)]) -> Vec<u8> {
        let values = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let labels = Some(RunLabels { values });
        RunSpec { labels, queue: "q".into(), max_action_concurrency: 3, ..RunSpec::default() }.encode_to_vec()
    }

    #[test]
    fn the_subject_is_taken_out_and_all_else_stays() {
        // A field that is not known here.
        let unknown = [0xa2, 0x06, 3, b'a', b'b', b'c'];
        let sent = [&spec(&[(LABEL, "patient-4711"), ("team", "ml")])[..], &unknown].concat();
        let (subject, kept) = take(&sent).unwrap();
        assert_eq!(subject.as_deref(), Some("patient-4711"));
        assert!(!kept.windows(7).any(|piece| piece == b"patient"));
        assert!(kept.windows(6).any(|piece| piece == unknown));
        let read = RunSpec::decode(kept.as_slice()).unwrap();
        assert_eq!(read, RunSpec::decode(spec(&[("team", "ml")]).as_slice()).unwrap());
        let (subject, kept) = take(&spec(&[(LABEL, "one")])).unwrap();
        assert_eq!((subject.as_deref(), RunSpec::decode(kept.as_slice()).unwrap().labels), (Some("one"), None));
    }

    #[test]
    fn what_names_nobody_stays_as_it_was_sent() {
        for sent in [spec(&[("team", "ml")]), Vec::new()] {
            assert_eq!(take(&sent).unwrap(), (None, sent));
        }
        assert!(take(&[0x0a, 200]).is_err() && take(&[0xff]).is_err());
    }

    #[test]
    fn pieces_of_the_labels_are_one() {
        let sent = [spec(&[("team", "ml")]), spec(&[(LABEL, "one")])].concat();
        let (subject, kept) = take(&sent).unwrap();
        assert_eq!(subject.as_deref(), Some("one"));
        assert_eq!(RunSpec::decode(kept.as_slice()).unwrap().labels.unwrap().values.len(), 1);
    }
}
