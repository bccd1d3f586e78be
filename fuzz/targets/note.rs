//! Signed notes and checkpoints: what is read is written again the same.
#![no_main]

use bulla_tlog::Checkpoint;
use bulla_tlog::note::{Note, Signature};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(note) = Note::parse(text) {
        assert_eq!(note.to_string(), text);
        checkpoint(&note.text);
    }
    if let Ok(line) = Signature::parse(text) {
        assert_eq!(line.to_string(), text);
    }
    checkpoint(text);
});

fn checkpoint(text: &str) {
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.text(), text);
        let frozen = checkpoint.freeze(1_700_000_000);
        assert!(frozen.is_frozen());
        assert_eq!(Checkpoint::parse(&frozen.text()).as_ref(), Ok(&frozen));
    }
}
