//! Tile paths, hash tiles and entry bundles (C2SP tlog-tiles): what is read is written again the same.
#![no_main]

use bulla_tlog::{TileId, TileNodes, entries, push_entry};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(path) = std::str::from_utf8(data)
        && let Ok(id) = TileId::parse(path)
    {
        assert_eq!(id.path(), path);
        assert!(TileId::parse(&id.full().path()) == Ok(id.full()));
    }
    if let Ok(nodes) = TileNodes::from_bytes(data) {
        assert_eq!(nodes.bytes(nodes.width()).as_deref(), Some(data));
        assert_eq!(nodes.root().is_some(), nodes.width() == 256);
        assert!(nodes.node(8, 1).is_none() && nodes.node(0, nodes.width()).is_none());
    }
    match entries(data) {
        Ok(entries) => {
            let mut again = Vec::new();
            entries.iter().for_each(|entry| push_entry(&mut again, entry).expect("was an entry"));
            assert_eq!(again, data);
        }
        Err(error) => assert!(error.offset() <= data.len()),
    }
});
