//! The node's view, kept up to date, and what its changes mean to the operator.

use std::collections::BTreeSet;

use super::{Effect, Node, Phase};
use crate::event::{Event, Holder};
use crate::record::Admission;
use crate::time::Now;
use crate::view::{Claimant, Standing, View};

/// Certificates begin and end by the clock: so often they are looked at when nothing else happens.
const CERTIFICATES_EVERY_MS: u64 = 10_000;

impl Node {
    /// The view as of the last [`Node::refresh_view`].
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Goes up with every change of the view.
    pub fn view_generation(&self) -> u64 {
        self.view_generation
    }

    /// Computes the view anew if records, ages or time may have changed it. Returns whether it changed.
    ///
    /// What a witness states about the claims it sees is signed here, and is among the effects.
    pub fn refresh_view(&mut self, now: Now) -> bool {
        let changed = self.compute_view(now);
        // Its own statements move claims from one list to another; nothing more is to be stated then.
        if self.witness(now) { self.compute_view(now) || changed } else { changed }
    }

    fn compute_view(&mut self, now: Now) -> bool {
        let current = self.viewed_revision == Some(self.store.revision());
        let lease_end = self.store.next_lease_end_boot_ms().unwrap_or(u64::MAX);
        if current && now.boot_ms < self.viewed_until_boot_ms.min(lease_end) {
            return false;
        }
        self.viewed_revision = Some(self.store.revision());
        let certified = self.settings().is_some_and(|settings| settings.admission == Admission::Certified);
        self.viewed_until_boot_ms = if certified { now.boot_ms + CERTIFICATES_EVERY_MS } else { u64::MAX };
        let mut view = View::of(&self.store, now, self.clock.at(now));
        if matches!(self.phase, Phase::Joining { .. }) {
            self.leave_out_what_was_awaited(&mut view);
        }
        if view == self.view {
            return false;
        }
        let before = std::mem::replace(&mut self.view, view);
        self.view_generation += 1;
        self.tell_changes(&before);
        self.remember_what_is_held();
        true
    }

    /// Before this host has joined, it finds itself by the names that it held when it last ran, and by no others: that their
    /// holders' leases are over by the records it kept only means that it was not there to hear them renew.
    fn leave_out_what_was_awaited(&self, view: &mut View) {
        view.retain(|name, claimant| claimant.host != self.me || self.own.held().contains(name));
    }

    /// What [`Node::leave_out_what_was_awaited`] goes by after a restart.
    fn remember_what_is_held(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        let held = self.view.names().filter(|(_, s)| s.holder().is_some_and(|holder| holder.host == self.me));
        let held: BTreeSet<_> = held.map(|(name, _)| name.clone()).collect();
        if held != *self.own.held() {
            self.note_renewal_before_saving();
            self.own.set_held(held);
            self.effects.push(Effect::SaveOwn);
        }
    }

    fn tell_changes(&mut self, before: &View) {
        let mut events = Vec::new();
        for (name, standing) in self.view.names() {
            let old = before.name(name);
            let (old_holder, holder) = (old.and_then(Standing::holder), standing.holder());
            let changed = old_holder.map(|c| (c.host, c.epoch)) != holder.map(|c| (c.host, c.epoch));
            if changed {
                let (before, after) = (old_holder.map(Holder::of), holder.map(Holder::of));
                events.push(Event::HolderChanged { name: name.clone(), before, after });
            }
            let waits = |s: &Standing| s.waiting().iter().find(|c| c.host == self.me).map(|c| c.epoch);
            if let (Some(epoch), Some(holder)) = (waits(standing), holder)
                && (changed || old.and_then(waits).is_none())
            {
                events.push(Event::Waiting { name: name.clone(), holder: Holder::of(holder), epoch });
            }
        }
        for (name, standing) in before.names() {
            if let (Some(holder), None) = (standing.holder(), self.view.name(name)) {
                events.push(Event::HolderChanged {
                    name: name.clone(),
                    before: Some(Holder::of(holder)),
                    after: None,
                });
            }
        }
        events.into_iter().for_each(|event| self.tell(event));
    }
}

impl Holder {
    fn of(claimant: &Claimant) -> Self {
        Self { host: claimant.host, label: claimant.label.clone(), epoch: claimant.epoch }
    }
}
