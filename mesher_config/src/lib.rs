//! The configuration file: its schema, its checks and the words of its errors.
