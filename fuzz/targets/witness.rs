//! What a log and a witness say to each other (C2SP tlog-witness): what is read is written again the same.
#![no_main]

use bulla_tlog::Checkpoint;
use bulla_tlog::add_checkpoint::{Request, parse_response, parse_size, response, size_body};
use bulla_tlog::note::Note;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(request) = Request::parse(data) {
        assert_eq!(request.to_string().as_bytes(), data);
        if let Ok(note) = Note::parse(&request.checkpoint)
            && let Ok(checkpoint) = Checkpoint::parse(&note.text)
        {
            let _any = request.judge(&checkpoint, None);
            let _any = request.judge(&checkpoint, Some((request.old, checkpoint.root)));
        }
    }
    if let Ok(lines) = parse_response(data) {
        assert_eq!(response(&lines).as_bytes(), data);
    }
    if let Some(size) = parse_size(data) {
        assert_eq!(size_body(size).as_bytes(), data);
    }
});
