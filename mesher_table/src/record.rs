//! One name's record: its spelling and its addresses.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::format::{
    COUNT_BITS, F_ALIASES_FOLLOW, F_SCOPED, F_WILDCARD, MAX_ADDRESSES, RECORD_WORDS, words_for,
};
use crate::query::Query;
use crate::shared::Shared;
use crate::table::Damage;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, 4 bytes.
    V4,
    /// IPv6, 16 bytes.
    V6,
}

impl Family {
    /// Bytes of one address.
    pub const fn size(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

/// One name's record. What it says is to be believed once [`Table::read`](crate::Table::read) has returned it.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The record's words, all of them and no more.
    words: &'a [AtomicU32],
    at: usize,
    /// The fixed part, read once.
    lengths: u32,
    counts: u32,
}

/// A record's host name and addresses.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The canonical name.
    pub host: Shared<'a>,
    /// The IPv4 addresses, each a word of its bytes in memory order.
    pub v4: &'a [AtomicU32],
    /// The IPv6 addresses, likewise in four words.
    pub v6: &'a [[AtomicU32; 4]],
    /// The scopes of the IPv6 addresses; none if no address has one.
    pub scopes: &'a [AtomicU32],
}

impl<'a> Record<'a> {
    /// The record at word `at` of an arena whose records end at `end`.
    #[inline]
    pub(crate) fn parse(arena: &'a [AtomicU32], at: usize, end: usize) -> Result<Self, Damage> {
        let words = arena.get(at..end).ok_or(Damage)?;
        let head = words.first_chunk::<RECORD_WORDS>().ok_or(Damage)?;
        let [lengths, counts] = head.each_ref().map(|word| word.load(Ordering::Relaxed));
        let mut record = Self { words, at, lengths, counts };
        record.words = words.get(..record.len_words()).ok_or(Damage)?;
        Ok(record)
    }

    /// Whether the record at a place has the query's name. Looks at no more of it than that takes.
    #[inline]
    pub(crate) fn is_named(
        arena: &[AtomicU32],
        at: usize,
        end: usize,
        query: &Query,
    ) -> Result<bool, Damage> {
        let words = arena.get(at..end).ok_or(Damage)?;
        let (head, rest) = words.split_first_chunk::<RECORD_WORDS>().ok_or(Damage)?;
        let [lengths, _] = head.each_ref().map(|word| word.load(Ordering::Relaxed));
        let len = lengths as usize & 0xff;
        if len != query.len() {
            return Ok(false);
        }
        let words = rest.get(..words_for(len)).ok_or(Damage)?;
        Ok(Shared::new(words, len).is(query))
    }

    /// Words of the whole record. Nothing here can overflow: there are at most 2 × 64 words of names and 6 × 16,383
    /// of addresses.
    #[inline]
    fn len_words(&self) -> usize {
        self.scopes_at().wrapping_add(if self.is_scoped() { self.v6_count() } else { 0 })
    }

    #[inline]
    fn name_len(&self) -> usize {
        self.lengths as usize & 0xff
    }

    #[inline]
    fn canonical_len(&self) -> usize {
        (self.lengths >> 8) as usize & 0xff
    }

    #[inline]
    fn v4_count(&self) -> usize {
        self.counts as usize & MAX_ADDRESSES
    }

    #[inline]
    fn v6_count(&self) -> usize {
        (self.counts >> COUNT_BITS) as usize & MAX_ADDRESSES
    }

    #[inline]
    fn is_scoped(&self) -> bool {
        self.counts & F_SCOPED != 0
    }

    #[inline]
    fn canonical_at(&self) -> usize {
        RECORD_WORDS.wrapping_add(words_for(self.name_len()))
    }

    #[inline]
    fn v4_at(&self) -> usize {
        self.canonical_at().wrapping_add(words_for(self.canonical_len()))
    }

    #[inline]
    fn v6_at(&self) -> usize {
        self.v4_at().wrapping_add(self.v4_count())
    }

    #[inline]
    fn scopes_at(&self) -> usize {
        self.v6_at().wrapping_add(self.v6_count().wrapping_mul(4))
    }

    /// A piece of the record, by its place and length in words.
    #[inline]
    fn piece(&self, at: usize, words: usize) -> &'a [AtomicU32] {
        self.words.get(at..at.wrapping_add(words)).unwrap_or_default()
    }

    /// Where the record lies in its arena; with the publication's number this is its identity.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Where the next record lies.
    pub(crate) fn next(&self) -> usize {
        self.at.wrapping_add(self.words.len())
    }

    /// The name as it was claimed.
    #[inline]
    pub fn name(&self) -> Shared<'a> {
        let len = self.name_len();
        Shared::new(self.piece(RECORD_WORDS, words_for(len)), len)
    }

    /// The canonical name, if this record's own name is but an alias.
    #[inline]
    pub fn canonical(&self) -> Option<Shared<'a>> {
        self.is_alias().then(|| self.host())
    }

    /// Whether the name stands for another one, the canonical name.
    #[inline]
    pub fn is_alias(&self) -> bool {
        self.canonical_len() != 0
    }

    /// The canonical name: another's if this is an alias, else its own.
    #[inline]
    pub fn host(&self) -> Shared<'a> {
        let len = self.canonical_len();
        if len == 0 {
            return self.name();
        }
        Shared::new(self.piece(self.canonical_at(), words_for(len)), len)
    }

    /// Whether its name comes before the query's in the table's order, or is the same.
    pub fn is_up_to(&self, query: &Query) -> bool {
        self.name().bytes().map(|byte| byte.to_ascii_lowercase()).le(query.bytes())
    }

    /// How long an answer may be kept, in seconds.
    pub fn ttl_s(&self) -> u32 {
        self.lengths >> 16
    }

    /// Whether the name is `*.` and a domain.
    #[inline]
    pub fn is_wildcard(&self) -> bool {
        self.counts & F_WILDCARD != 0
    }

    /// Whether records of this host's aliases follow.
    #[inline]
    pub fn aliases_follow(&self) -> bool {
        self.counts & F_ALIASES_FOLLOW != 0
    }

    /// The host's name and all addresses, taken apart in one go: for a caller that wants them all, half the work of asking
    /// for each.
    #[inline]
    pub fn parts(&self) -> Result<Parts<'a>, Damage> {
        let rest = self.words.get(RECORD_WORDS..).ok_or(Damage)?;
        let (name, rest) = rest.split_at_checked(words_for(self.name_len())).ok_or(Damage)?;
        let (canonical, rest) = rest.split_at_checked(words_for(self.canonical_len())).ok_or(Damage)?;
        let (v4, rest) = rest.split_at_checked(self.v4_count()).ok_or(Damage)?;
        let (v6, scopes) = rest.split_at_checked(self.v6_count().wrapping_mul(4)).ok_or(Damage)?;
        let (words, len) =
            if self.is_alias() { (canonical, self.canonical_len()) } else { (name, self.name_len()) };
        Ok(Parts { host: Shared::new(words, len), v4, v6: v6.as_chunks::<4>().0, scopes })
    }

    /// How many addresses of a family it has.
    #[inline]
    pub fn count(&self, family: Family) -> usize {
        match family {
            Family::V4 => self.v4_count(),
            Family::V6 => self.v6_count(),
        }
    }

    /// All addresses of a family, one after the other, in the table's order.
    #[inline]
    pub fn addresses(&self, family: Family) -> Shared<'a> {
        let words = match family {
            Family::V4 => self.v4_words(),
            Family::V6 => self.v6_words(),
        };
        Shared::new(words, words.len().wrapping_mul(4))
    }

    #[inline]
    fn v4_words(&self) -> &'a [AtomicU32] {
        self.piece(self.v4_at(), self.v4_count())
    }

    #[inline]
    fn v6_words(&self) -> &'a [AtomicU32] {
        self.piece(self.v6_at(), self.v6_count().wrapping_mul(4))
    }

    /// The IPv4 addresses, each as its bytes in memory order.
    #[inline]
    pub fn v4(&self) -> impl Iterator<Item = u32> + 'a {
        self.v4_words().iter().map(|word| word.load(Ordering::Relaxed))
    }

    /// The IPv6 addresses, each as its bytes in memory order, with their scopes (interface index, 0 if none).
    #[inline]
    pub fn v6(&self) -> impl Iterator<Item = ([u32; 4], u32)> + 'a {
        let scopes = if self.is_scoped() { self.piece(self.scopes_at(), self.v6_count()) } else { &[] };
        let scopes = scopes.iter().map(|word| word.load(Ordering::Relaxed));
        self.v6_words()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|words| words.each_ref().map(|word| word.load(Ordering::Relaxed)))
            .zip(scopes.chain(core::iter::repeat(0)))
    }
}
