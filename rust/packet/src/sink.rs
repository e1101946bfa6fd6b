//! The way out towards the host.

use crate::Train;

/// Where packets for the host go: a TUN, a test's list.
pub trait TrainSink {
    /// Takes all segments of `train`, or drops them and counts that; it cannot push back.
    fn accept(&mut self, train: &Train<'_>);
}
