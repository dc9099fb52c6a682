//! Traces: which trace a run belongs to, and the ids of its spans. All of it is a function of what the journal holds, so that a server that
//! was started again goes on with the same trace, and a task knows its span before anybody has exported it.

use engine::RunNames;
use model::{ActionNo, AttemptNo, Digest, RunId, Timestamp};

/// The id of a span.
pub type SpanId = [u8; 8];

/// The trace of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTrace {
    /// The id of the trace: the caller's, or one made from the run's names and time.
    pub trace: [u8; 16],
    /// The caller's span, when there is one.
    pub caller: Option<SpanId>,
    /// Whether the caller wants it recorded. A caller who says nothing does.
    pub sampled: bool,
    run: RunId,
}

impl RunTrace {
    /// The trace of a run whose orders are given.
    pub fn of(names: &RunNames) -> RunTrace {
        RunTrace::new(names.run, &names.project, &names.name, names.submitted_at, names.traceparent.as_deref())
    }

    /// The trace of a run as the journal tells of it.
    pub fn new(run: RunId, project: &str, name: &str, submitted_at: Timestamp, traceparent: Option<&str>) -> RunTrace {
        if let Some((trace, caller, sampled)) = traceparent.and_then(parse) {
            return RunTrace { trace, caller: Some(caller), sampled, run };
        }
        // Numbers and names come again on other servers; a microsecond with them does not.
        let digest = Digest::of(format!("tutti trace\0{project}\0{name}\0{run}\0{}", submitted_at.0).as_bytes());
        let mut trace = [0; 16];
        trace.copy_from_slice(&digest.0[..16]);
        trace[15] |= u8::from(trace == [0; 16]);
        RunTrace { trace, caller: None, sampled: true, run }
    }

    fn span(&self, of: &str) -> SpanId {
        let mut text = self.trace.to_vec();
        text.extend_from_slice(format!("{}\0{of}", self.run).as_bytes());
        let mut span = [0; 8];
        span.copy_from_slice(&Digest::of(&text).0[..8]);
        span[7] |= u8::from(span == [0; 8]);
        span
    }

    /// The span of the run itself.
    pub fn run_span(&self) -> SpanId {
        self.span("run")
    }

    /// The span of an action.
    pub fn action_span(&self, action: ActionNo) -> SpanId {
        self.span(&format!("action {action}"))
    }

    /// The span of an attempt.
    pub fn attempt_span(&self, action: ActionNo, attempt: AttemptNo) -> SpanId {
        self.span(&format!("attempt {action} {attempt}"))
    }

    /// The context of an attempt, as a W3C `traceparent`.
    pub fn attempt(&self, action: ActionNo, attempt: AttemptNo) -> String {
        let flags = if self.sampled { "01" } else { "00" };
        format!("00-{}-{}-{flags}", hex(&self.trace), hex(&self.attempt_span(action, attempt)))
    }
}

/// A `traceparent` as it is kept, when it is one: version 00, whatever later version was sent.
pub fn normalized(text: &str) -> Option<String> {
    let (trace, span, sampled) = parse(text)?;
    Some(format!("00-{}-{}-0{}", hex(&trace), hex(&span), u8::from(sampled)))
}

/// Trace, span and whether it is sampled.
fn parse(text: &str) -> Option<([u8; 16], SpanId, bool)> {
    let text = text.trim();
    let (known, rest) = (text.get(..55)?, text.get(55..)?);
    let mut parts = known.split('-');
    let version: [u8; 1] = unhex(parts.next()?)?;
    let (trace, span, flags): ([u8; 16], SpanId, [u8; 1]) = (unhex(parts.next()?)?, unhex(parts.next()?)?, unhex(parts.next()?)?);
    // A later version may say more at its end.
    let ends = rest.is_empty() || (version[0] > 0 && rest.starts_with('-'));
    let valid = parts.next().is_none() && ends && version[0] != 0xff && trace != [0; 16] && span != [0; 8];
    valid.then_some((trace, span, flags[0] & 1 == 1))
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * N || !text.bytes().all(lower) {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_one_or_is_left_out() {
        assert_eq!(normalized(CALLER).as_deref(), Some(CALLER));
        assert_eq!(normalized(&CALLER.replace("-01", "-ff")).as_deref(), Some(CALLER));
        assert_eq!(normalized(&CALLER.replace("-01", "-02")), Some(CALLER.replace("-01", "-00")));
        assert_eq!(normalized(&format!("{}-more", CALLER.replace("00-0a", "01-0a"))).as_deref(), Some(CALLER));
        for wrong in [
            "",
            "00",
            &CALLER.to_uppercase(),
            &CALLER.replace("00-0a", "ff-0a"),
            &CALLER.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &CALLER.replace("b7ad6b7169203331", &"0".repeat(16)),
            &format!("{CALLER}-more"),
            &format!("{CALLER}0"),
            &CALLER.replace('-', "_"),
            &CALLER.replace("0af7", "ü7"),
            &"-".repeat(55),
        ] {
            assert_eq!(normalized(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_are_the_same_whenever_they_are_made_and_differ_where_they_should() {
        let trace = |run, name, at| RunTrace::new(RunId(run), "p", name, Timestamp(at), None);
        let one = trace(1, "a", 5);
        assert_eq!(one, trace(1, "a", 5));
        assert!(
            one.trace != trace(1, "a", 6).trace && one.trace != trace(1, "b", 5).trace && one.trace != trace(2, "a", 5).trace
        );
        let (action, attempt) = (ActionNo(0), AttemptNo(1));
        let spans =
            [one.run_span(), one.action_span(action), one.attempt_span(action, attempt), one.attempt_span(action, AttemptNo(2))];
        assert_eq!(spans.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        // Two runs of one caller's trace are told apart.
        let [first, second] = [1, 2].map(|run| RunTrace::new(RunId(run), "p", "a", Timestamp(5), Some(CALLER)));
        assert_eq!((first.trace, first.caller), (second.trace, second.caller));
        assert_ne!(first.run_span(), second.run_span());
        assert!(first.attempt(action, attempt).starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
        assert_eq!(normalized(&first.attempt(action, attempt)), Some(first.attempt(action, attempt)));
    }
}
