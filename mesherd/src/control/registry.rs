//! The open connections, and which of them has to go when there are too many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The open connections.
#[derive(Debug)]
pub(super) struct Registry {
    max_total: usize,
    max_per_user: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    entries: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    uid: u32,
    privileged: bool,
    busy: bool,
    last_active: Instant,
    task: Option<AbortHandle>,
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    registry: Arc<Registry>,
}

impl Registry {
    pub(super) fn new(max_total: usize, max_per_user: usize) -> Self {
        Self { max_total, max_per_user, open: Mutex::default() }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection of the user `uid`. There always is one: where the user has too many, its
    /// longest idle one is closed; where there are too many in all, the longest idle one of any user that may not
    /// change things, and only then of others.
    pub(super) fn enter(self: &Arc<Self>, uid: u32, privileged: bool) -> Place {
        let mut open = self.open();
        let of_user = open.entries.values().filter(|entry| entry.uid == uid).count();
        if of_user >= self.max_per_user {
            open.close_one(|entry| entry.uid == uid);
        } else if open.entries.len() >= self.max_total {
            open.close_one(|_| true);
        }
        let id = open.next_id;
        open.next_id += 1;
        let entry = Entry { uid, privileged, busy: false, last_active: Instant::now(), task: None };
        open.entries.insert(id, entry);
        Place { id, registry: self.clone() }
    }
}

impl Open {
    /// Closes one of the connections that `may_go`: an idle one before a busy one, and of those the one that has been
    /// so for longest.
    fn close_one(&mut self, may_go: impl Fn(&Entry) -> bool) {
        let candidates = self.entries.iter().filter(|(_, entry)| may_go(entry));
        let victim = candidates.min_by_key(|(_, e)| (e.privileged, e.busy, e.last_active)).map(|(&id, _)| id);
        if let Some(entry) = victim.and_then(|id| self.entries.remove(&id))
            && let Some(task) = entry.task
        {
            task.abort();
        }
    }
}

impl Place {
    /// Says which task serves the connection, so that it can be closed. A connection that had to go before that is closed at
    /// once.
    pub(super) fn served_by(registry: &Registry, id: u64, task: AbortHandle) {
        match registry.open().entries.get_mut(&id) {
            Some(entry) => entry.task = Some(task),
            None => task.abort(),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Says whether a call is being served.
    pub(super) fn set_busy(&self, busy: bool) {
        if let Some(entry) = self.registry.open().entries.get_mut(&self.id) {
            entry.busy = busy;
            entry.last_active = Instant::now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.open().entries.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(registry: &Registry) -> Vec<u64> {
        let mut ids: Vec<u64> = registry.open().entries.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_over_its_share_loses_its_longest_idle_connection_and_nobody_else_any() {
        let registry = Arc::new(Registry::new(100, 3));
        let other = registry.enter(7, false);
        let mut places = Vec::new();
        let second = || tokio::time::advance(std::time::Duration::from_secs(1));
        for _ in 0..3 {
            second().await;
            places.push(registry.enter(1000, false));
        }
        second().await;
        places[0].set_busy(true);
        places.push(registry.enter(1000, false));
        assert_eq!(ids(&registry), [other.id(), places[0].id(), places[2].id(), places[3].id()]);
        second().await;
        places[0].set_busy(false);
        places.push(registry.enter(1000, false));
        assert_eq!(ids(&registry), [other.id(), places[0].id(), places[3].id(), places[4].id()]);
        drop(places);
        assert_eq!(ids(&registry), [other.id()]);
    }

    #[tokio::test(start_paused = true)]
    async fn in_all_those_who_may_change_things_go_last() {
        let registry = Arc::new(Registry::new(2, 2));
        let root = registry.enter(0, true);
        let user = registry.enter(1000, false);
        user.set_busy(true);
        let another = registry.enter(1001, false);
        assert_eq!(ids(&registry), [root.id(), another.id()]);
    }
}
