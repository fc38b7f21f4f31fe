//! Where each word of the file lies. `docs/table-format.md` draws it; a test holds the drawing to these constants.
//!
//! A *word* is four bytes, aligned, in the machine's own byte order. Every offset, length and size in the file
//! counts words unless its name says otherwise; offsets inside an arena count from the arena's first word.
//! Addresses and names are bytes in memory order.

/// Version of everything below. A reader takes exactly this version: a table of another one is
/// [`Fault::OtherVersion`](crate::Fault::OtherVersion), never half understood.
pub const VERSION: u32 = 1;

/// The file's first eight bytes.
pub const MAGIC: [u8; 8] = *b"mesh-tbl";

/// What a machine of the writer's byte order reads at [`H_ORDER`].
pub const ORDER_MARK: u32 = 0x0a0b_0c0d;

/// Words of the header; arena A starts right after it, arena B [`H_ARENA_WORDS`] later.
pub const HEADER_WORDS: usize = 32;

// The header's first cache line is written once, before the file gets its name.

/// Where [`MAGIC`] starts (two words).
pub const H_MAGIC: usize = 0;
/// [`ORDER_MARK`].
pub const H_ORDER: usize = 2;
/// [`VERSION`].
pub const H_VERSION: usize = 3;
/// Words in the whole file: `HEADER_WORDS + 2 * arena_words`.
pub const H_FILE_WORDS: usize = 4;
/// Words in one arena, a multiple of [`LINE_WORDS`].
pub const H_ARENA_WORDS: usize = 5;

// The second line is live: the writer changes it while readers look. These four places, the magic, the order mark
// and the version keep their meaning in every later version, so that a new writer can supersede an old file.

/// The publication last *begun*; see [`protocol`](crate::protocol).
pub const H_SEQ: usize = 16;
/// The publication last *finished*: it lies in arena `active & 1`.
pub const H_ACTIVE: usize = 17;
/// The lease's end; see [`Deadline`](crate::Deadline).
pub const H_DEADLINE: usize = 18;
/// Nonzero once a newer file takes this one's place under its name.
pub const H_SUPERSEDED: usize = 19;

/// What an arena's publication is sealed with.
pub const SEAL: u32 = 0x6d65_7368;

/// Words in a cache line of 64 bytes.
pub const LINE_WORDS: usize = 16;

/// Words of the directory at the start of each arena.
pub const DIRECTORY_WORDS: usize = 32;

/// The publication this arena was written for, xor [`SEAL`], so that an arena of zeros belongs to none.
pub const D_SEAL: usize = 0;
/// Words of the arena in use, directory included.
pub const D_USED: usize = 1;
/// The hash's seed (two words), new with every publication.
pub const D_SEED: usize = 2;
/// Buckets in the name index; 0 in an empty table.
pub const D_BUCKETS: usize = 4;
/// Where the name index starts, at a cache line.
pub const D_INDEX: usize = 5;
/// Where the records start.
pub const D_RECORDS: usize = 6;
/// Where the records end.
pub const D_RECORDS_END: usize = 7;
/// Where the reverse index of IPv4 addresses starts: pairs of (address as a number, record), ascending.
pub const D_REVERSE_V4: usize = 8;
/// How many pairs it has.
pub const D_REVERSE_V4_LEN: usize = 9;
/// Where the reverse index of IPv6 addresses starts: pairs of (where the address lies, record), ascending by address.
pub const D_REVERSE_V6: usize = 10;
/// How many pairs it has.
pub const D_REVERSE_V6_LEN: usize = 11;
/// Where the contained domains start.
pub const D_CONTAIN: usize = 12;
/// How many there are.
pub const D_CONTAIN_LEN: usize = 13;
/// Wildcards: 0 if there is none, else `1 << 16 | most << 8 | fewest`, labels after the `*.` of any wildcard.
pub const D_WILD: usize = 14;
/// Buckets a probe may have to visit, at most [`MAX_PROBE`].
pub const D_PROBE: usize = 15;
/// How many times this table's contents were published, over all files (two words, the lower half first).
pub const D_GENERATION: usize = 16;
/// Records in the arena.
pub const D_RECORD_COUNT: usize = 18;

/// Slots in a bucket of the name index: eight tags, then eight places, in one cache line. A tag is never 0, slots
/// are filled from the front, and a full bucket overflows into the next one.
pub const BUCKET_SLOTS: usize = 8;
/// The most buckets a probe sequence may have. The writer takes another seed rather than exceed it.
pub const MAX_PROBE: usize = 8;

/// A record's fixed part: two words, then name, canonical name, IPv4 addresses, IPv6 addresses, scopes.
///
/// Word 0: bytes of the name (8 bits), bytes of the canonical name (8, 0 if the name is its own), TTL in seconds (16).
/// Word 1: IPv4 addresses (14), IPv6 addresses (14), and the flags below.
pub const RECORD_WORDS: usize = 2;
/// Bits of each address count in a record.
pub const COUNT_BITS: u32 = 14;
/// The most addresses of one family a record can have.
pub const MAX_ADDRESSES: usize = (1 << COUNT_BITS) - 1;
/// The record has a scope (interface index, 0 if none) for each IPv6 address.
pub const F_SCOPED: u32 = 1 << 28;
/// Records of further names of this host follow, each naming this one as canonical.
pub const F_ALIASES_FOLLOW: u32 = 1 << 29;
/// The name starts with `*.` and stands for every name below the rest that has no record of its own.
pub const F_WILDCARD: u32 = 1 << 30;

/// Bytes of the longest host name, without a trailing dot (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 253;
/// Contained domains in a table at most.
pub const MAX_CONTAIN: usize = 64;
/// Aliases that follow one canonical name, at most.
pub const MAX_ALIASES: usize = 255;

/// Words that `bytes` bytes take up, the last one filled with zeros.
pub const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(4)
}
