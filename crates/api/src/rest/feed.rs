//! Events as they are sent, made once for everybody who listens: fifty browsers that watch a busy run cost one reading of the journal and one
//! writing of JSON, and fifty copies of bytes.

use std::collections::VecDeque;

use axum::body::Bytes;
use controlplane::ControlPlane;
use model::{RunId, Seq};
use parking_lot::Mutex;

use super::events::{data_of, name_of};

/// Entries read at a time: a client that reads slowly is sent no more than it takes, and nothing waits for it.
const BATCH: usize = 200;
/// Bytes of entries after which no more are read at a time: a map of ten thousand items is one entry of a megabyte.
const BATCH_BYTES: usize = 256 << 10;
/// Bytes of what was sent last that are kept at hand. Who is further behind reads the journal for itself.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// An event as it is sent.
#[derive(Clone, Debug)]
struct Frame {
    seq: Seq,
    run: RunId,
    text: Bytes,
}

/// The latest events: all those after `from`, up to `end`.
#[derive(Debug, Default)]
struct Kept {
    frames: VecDeque<Frame>,
    bytes: usize,
    from: Seq,
    end: Seq,
}

impl Kept {
    /// What follows a position, of one run or of all; none when it is not all at hand.
    fn after(&self, after: Seq, run: Option<RunId>) -> Option<Sent> {
        if after < self.from || after > self.end {
            return None;
        }
        let first = self.frames.partition_point(|frame| frame.seq <= after);
        let mut sent = Sent { text: Vec::new(), after: self.end, end: true };
        for frame in self.frames.range(first..).filter(|frame| run.is_none_or(|run| frame.run == run)) {
            if sent.text.len() >= BATCH_BYTES {
                sent.end = false;
                break;
            }
            sent.text.extend_from_slice(&frame.text);
            sent.after = frame.seq;
        }
        if sent.end {
            sent.after = self.end;
        }
        Some(sent)
    }

    fn take(&mut self, frames: Vec<Frame>) {
        for frame in frames {
            (self.end, self.bytes) = (frame.seq, self.bytes + frame.text.len());
            self.frames.push_back(frame);
        }
        while self.bytes > KEPT_BYTES_MAX
            && let Some(frame) = self.frames.pop_front()
        {
            (self.from, self.bytes) = (frame.seq, self.bytes - frame.text.len());
        }
    }
}

/// What is sent to one of those who listen.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Events, as bytes of the stream.
    pub(crate) text: Vec<u8>,
    /// The position up to which everything was looked at.
    pub(crate) after: Seq,
    /// Whether that is all there is.
    pub(crate) end: bool,
}

/// The events of a server for all who listen to it.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    kept: Mutex<Kept>,
    /// Held by the one that reads for all.
    turn: tokio::sync::Mutex<()>,
}

impl Feed {
    /// What follows a position, of one run or of all; none when the journal cannot be read. Empty when nothing does.
    pub(crate) async fn after(&self, control: &ControlPlane, after: Seq, run: Option<RunId>) -> Option<Sent> {
        let durable = *control.notices().watch().borrow();
        if after >= durable {
            return Some(Sent { text: Vec::new(), after, end: true });
        }
        if let Some(sent) = self.at_hand(after, run) {
            return Some(sent);
        }
        let _turn = self.turn.lock().await;
        // Somebody may have read it meanwhile.
        if let Some(sent) = self.at_hand(after, run) {
            return Some(sent);
        }
        let Some(end) = self.end_for(after) else { return alone(control, after, run, durable).await };
        let read = read(control, end, None).await?;
        let mut kept = self.kept.lock();
        match read.is_empty() {
            // What is there up to here has nothing to tell.
            true => kept.end = kept.end.max(durable),
            false => kept.take(read),
        }
        kept.after(after, run).or(Some(Sent { text: Vec::new(), after, end: false }))
    }

    /// From where to read on for one that stands at a position; none when that is before what is kept.
    fn end_for(&self, after: Seq) -> Option<Seq> {
        let mut kept = self.kept.lock();
        // Nobody has listened for a while: what is kept begins anew where somebody listens.
        if kept.end < after {
            *kept = Kept { from: after, end: after, ..Kept::default() };
        }
        (after >= kept.from).then_some(kept.end)
    }

    /// What follows a position, when something does and it is kept.
    fn at_hand(&self, after: Seq, run: Option<RunId>) -> Option<Sent> {
        let kept = self.kept.lock();
        if after >= kept.end { None } else { kept.after(after, run) }
    }
}

/// For one that is far behind: out of the journal, which is durable up to a position.
async fn alone(control: &ControlPlane, after: Seq, run: Option<RunId>, durable: Seq) -> Option<Sent> {
    let frames = read(control, after, run).await?;
    let Some(last) = frames.last().map(|frame| frame.seq) else {
        // None of that run up to here.
        return Some(Sent { text: Vec::new(), after: durable, end: true });
    };
    let text = frames.iter().flat_map(|frame| frame.text.iter().copied()).collect();
    Some(Sent { text, after: last, end: false })
}

async fn read(control: &ControlPlane, after: Seq, run: Option<RunId>) -> Option<Vec<Frame>> {
    let reader = control.reader().clone();
    let read = tokio::task::spawn_blocking(move || {
        let told = reader.facts_within(after, run, BATCH, BATCH_BYTES)?;
        let frame = |(seq, at, run, event): &journal::Told| Frame {
            seq: *seq,
            run: *run,
            text: format!("id: {seq}\nevent: {}\ndata: {}\n\n", name_of(event), data_of(*at, *run, event)).into(),
        };
        Ok::<_, journal::JournalError>(told.iter().map(frame).collect::<Vec<_>>())
    });
    let read = read.await.ok()?;
    read.inspect_err(|error| tracing::error!(%error, "a stream of events ends: the journal cannot be read")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: u64, run: u64, bytes: usize) -> Frame {
        Frame { seq: Seq(seq), run: RunId(run), text: vec![b'x'; bytes].into() }
    }

    fn kept(frames: Vec<Frame>) -> Kept {
        let mut kept = Kept { from: Seq(10), end: Seq(10), ..Kept::default() };
        kept.take(frames);
        kept
    }

    #[test]
    fn what_follows_a_position_is_all_of_it_or_nothing() {
        let kept = kept(vec![frame(11, 1, 3), frame(13, 2, 5), frame(14, 1, 7)]);
        let lengths = |after, run| kept.after(Seq(after), run).map(|sent| (sent.text.len(), sent.after.0, sent.end));
        assert_eq!(lengths(10, None), Some((15, 14, true)));
        assert_eq!(lengths(11, None), Some((12, 14, true)));
        assert_eq!(lengths(12, None), Some((12, 14, true)));
        assert_eq!(lengths(14, None), Some((0, 14, true)));
        // Of one run, everything is looked at though little is sent.
        assert_eq!(lengths(11, Some(RunId(2))), Some((5, 14, true)));
        assert_eq!(lengths(13, Some(RunId(2))), Some((0, 14, true)));
        assert_eq!((lengths(9, None), lengths(15, None)), (None, None));
    }

    #[test]
    fn large_events_come_one_by_one_and_old_ones_are_let_go() {
        let mut kept = kept(vec![frame(11, 1, BATCH_BYTES), frame(12, 1, 9)]);
        let sent = kept.after(Seq(10), None).unwrap();
        assert_eq!((sent.text.len(), sent.after, sent.end), (BATCH_BYTES, Seq(11), false));
        kept.take((13..20).map(|seq| frame(seq, 1, BATCH_BYTES)).collect());
        assert!(kept.bytes <= KEPT_BYTES_MAX && kept.after(Seq(10), None).is_none());
        let from = kept.from;
        assert_eq!(kept.after(from, None).unwrap().after.0, from.0 + 1);
        assert_eq!(kept.end, Seq(19));
    }
}
