//! The sessions of a tunnel: which one seals, which ones still open, which one makes room.

use packet::Instant;

use crate::profile::Profile;
use crate::session::{Role, Session};

/// Sessions open at the same time, in the order in which they were made.
///
/// Boxed, so that growing and shrinking the list copies no key.
#[derive(Default)]
pub(crate) struct Sessions {
    #[expect(clippy::vec_box, reason = "moving a session would leave copies of its keys behind")]
    open: Vec<Box<Session>>,
    /// Our index of the session that seals.
    current: Option<u32>,
}

impl Sessions {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.open.iter().map(|session| &**session)
    }

    pub(crate) fn find(&mut self, local: u32) -> Option<&mut Session> {
        self.open.iter_mut().find(|session| session.local == local).map(|session| &mut **session)
    }

    /// The session that seals, if one was ever confirmed and is not gone.
    pub(crate) fn current(&self) -> Option<&Session> {
        self.iter().find(|session| Some(session.local) == self.current)
    }

    pub(crate) fn current_mut(&mut self) -> Option<&mut Session> {
        self.find(self.current?)
    }

    /// Adds a session; the oldest that does not seal makes room for it.
    pub(crate) fn insert(&mut self, session: Session, profile: &Profile) {
        let at_most = profile.sessions.clamp(3, 64);
        while self.open.len() >= at_most {
            let oldest = self.open.iter().position(|session| Some(session.local) != self.current);
            self.open.remove(oldest.unwrap_or(0));
        }
        self.open.push(Box::new(session));
    }

    /// The peer has the keys of session `local`: it seals from now on, unless a better one does.
    /// Returns whether it does. `lead` says whether of two handshakes that crossed the one that we
    /// began is to be used; it is the opposite at the peer.
    pub(crate) fn confirm(&mut self, local: u32, lead: bool) -> bool {
        let position = self.open.iter().position(|session| session.local == local);
        let Some(position) = position.filter(|_| self.current != Some(local)) else { return false };
        self.open[position].confirmed = true;
        let new = &self.open[position];
        let chosen = self.current().is_none_or(|current| better(new, current, lead));
        if chosen {
            self.current = Some(local);
        }
        chosen
    }

    /// Makes session `local` the one that seals, as it was when it was exported.
    pub(crate) fn restore_current(&mut self, local: Option<u32>) {
        self.current = local.filter(|local| self.iter().any(|of| of.local == *local));
    }

    /// Erases the sessions that neither seal nor open any more.
    pub(crate) fn remove_ended(&mut self, profile: &Profile, now: Instant) {
        self.open.retain(|session| session.opens(profile, now));
    }

    /// When the next session ends.
    pub(crate) fn next_end(&self, profile: &Profile) -> Option<Instant> {
        self.iter().map(|session| session.created + profile.reject_after).min()
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.current = None;
    }
}

/// Whether `new` is to seal instead of `current`: the newer one, unless their handshakes crossed.
///
/// When both ends begin at the same time, both handshakes succeed, and each end would seal with its
/// own and renew it for ever. So both choose the same one.
fn better(new: &Session, current: &Session, lead: bool) -> bool {
    let (own, peers) = match new.role {
        Role::Initiator => (new, current),
        Role::Responder => (current, new),
    };
    let crossed = new.role != current.role && (own.begun..=own.created).contains(&peers.created);
    if crossed { (new.role == Role::Initiator) == lead } else { new.created >= current.created }
}
