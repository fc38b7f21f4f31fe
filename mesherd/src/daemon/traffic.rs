//! What this node sends beside the carrier, by what it is sent for.

/// What a message to a peer is sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A digest that asks for a peer's.
    Question,
    /// A digest that answers one.
    Answer,
    /// Records that a digest showed to be lacking.
    Lacking,
    /// This node's own news.
    Push,
    /// Others' news.
    Forward,
}

/// Messages sent, each counted once for every peer that it was sent to, and their bytes before sealing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic([(u64, u64); 5]);

impl Traffic {
    /// A message was handed to gossip.
    pub(super) fn sent(&mut self, purpose: Purpose, bytes: usize) {
        let (messages, sum) = &mut self.0[purpose as usize];
        *messages += 1;
        *sum += bytes as u64;
    }

    /// Each count's name, what it counts, and its value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (String, String, u64)> {
        let kinds = [
            ("questions", "Digests sent to ask for a peer's"),
            ("answers", "Digests sent in answer to one"),
            ("lacking", "Messages with records that a digest showed to be lacking"),
            ("pushes", "Messages with this machine's own news"),
            ("forwards", "Messages with others' news"),
        ];
        kinds.into_iter().zip(self.0).flat_map(|((name, what), (messages, bytes))| {
            [
                (name.to_owned(), format!("{what}, once for each peer."), messages),
                (format!("{name}_bytes"), format!("{what}, in bytes before sealing."), bytes),
            ]
        })
    }
}
