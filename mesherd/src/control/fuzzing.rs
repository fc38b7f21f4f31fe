//! The reading of requests, for the fuzz target; the tests run it over the target's corpus.

use mesher_control::Call;

use super::protocol::{self, What};

/// Reads what a caller sent, up to its NUL. Whatever it is, it is a call or an answer that a caller can read; a call that is
/// written again is the same.
pub fn request(message: &[u8]) {
    let answer = match protocol::read(message) {
        Err(answer) => answer,
        Ok(incoming) => match incoming.what {
            What::Answer(answer) => answer,
            What::Call(call) => {
                let (method, parameters) = call.to_parts();
                let (_, method) = method.rsplit_once('.').expect("a method has an interface");
                assert_eq!(Call::parse(method, parameters).as_ref(), Ok(&call));
                return;
            }
        },
    };
    let (nul, text) = answer.split_last().expect("an answer is not empty");
    assert_eq!(*nul, 0);
    assert!(!text.contains(&0), "an answer holds the byte that ends it");
    let value: serde_json::Value = serde_json::from_slice(text).expect("an answer is JSON");
    assert!(value.is_object());
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_requests_passes() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/control");
        let mut inputs = 0;
        for file in std::fs::read_dir(&folder).unwrap() {
            super::request(&std::fs::read(file.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 10, "{}: {inputs} inputs", folder.display());
    }
}
