//! The hosts table: its binary format, its writer and its reader.
