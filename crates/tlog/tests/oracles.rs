//! Another team's implementation judges ours: the crates `tlog_tiles` and `signed_note`, ported from Go's sumdb.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_lc_rs::signature::Ed25519KeyPair;
use bulla_tlog::note::{Ed25519Signer, Note};
use bulla_tlog::{
    Checkpoint, Edge, Hash, Plan, TileId, TileKind, TileNodes, edge_nodes, leaf_hash, verify_consistency,
    verify_inclusion, widest,
};
use proptest::prelude::*;
use signed_note::Verifier as _;
use tlog_tiles::{HashReader, stored_hash_index};

/// All hashes of their tree in their order.
struct Stored(Vec<tlog_tiles::Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|&index| self.0[index as usize]).collect())
    }
}

/// Their tree, and every root on the way to it.
fn oracle(size: u64) -> (Stored, Vec<Hash>) {
    let mut stored = Stored(Vec::new());
    let mut roots = vec![bulla_tlog::empty_root()];
    for index in 0..size {
        let added = tlog_tiles::stored_hashes(index, index.to_string().as_bytes(), &stored).unwrap();
        stored.0.extend(added);
        roots.push(Hash(tlog_tiles::tree_hash(index + 1, &stored).unwrap().0));
    }
    (stored, roots)
}

fn theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect()
}

fn ours(hashes: &[tlog_tiles::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(hash.0)).collect()
}

/// Finishes our plan with their hashes.
fn finish(plan: &Plan, stored: &Stored) -> Vec<Hash> {
    let indexes: Vec<_> = plan.nodes().iter().map(|node| stored_hash_index(node.level, node.index)).collect();
    plan.finish(&ours(&stored.read_hashes(&indexes).unwrap()))
}

#[test]
fn roots_and_edges() {
    let (stored, roots) = oracle(700);
    let mut edge = Edge::new();
    for (size, root) in (0..).zip(&roots) {
        assert_eq!(edge.root(), *root, "{size}");
        let indexes: Vec<_> =
            edge_nodes(size).iter().map(|node| stored_hash_index(node.level, node.index)).collect();
        assert_eq!(edge.nodes(), ours(&stored.read_hashes(&indexes).unwrap()));
        edge.append(leaf_hash(size.to_string().as_bytes()));
    }
}

#[test]
fn every_proof_of_every_size_to_130_and_some_larger() {
    let (stored, roots) = oracle(600);
    for size in (1..=130).chain([255, 256, 257, 511, 512, 513, 600]) {
        let root = roots[size as usize];
        for index in 0..size {
            let leaf = leaf_hash(index.to_string().as_bytes());
            let proof = finish(&Plan::inclusion(index, size).unwrap(), &stored);
            assert_eq!(proof, ours(&tlog_tiles::prove_record(size, index, &stored).unwrap()));
            verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
            let (root, leaf) = (tlog_tiles::Hash(root.0), tlog_tiles::Hash(leaf.0));
            tlog_tiles::check_record(&theirs(&proof), size, root, index, leaf).unwrap();
        }
        for old in 1..=size {
            let proof = finish(&Plan::consistency(old, size).unwrap(), &stored);
            assert_eq!(proof, ours(&tlog_tiles::prove_tree(size, old, &stored).unwrap()));
            verify_consistency(old, size, &roots[old as usize], &root, &proof).unwrap();
            let (old_root, root) = (tlog_tiles::Hash(roots[old as usize].0), tlog_tiles::Hash(root.0));
            tlog_tiles::check_tree(&theirs(&proof), size, root, old, old_root).unwrap();
        }
    }
}

#[test]
fn tiles_hold_the_same_bytes() {
    let (stored, _) = oracle(700);
    for size in [1, 255, 256, 257, 511, 512, 700] {
        let mut count = 0;
        for tile in tlog_tiles::Tile::new_tiles(8, 0, size) {
            let id = widest(TileKind::Hashes(tile.level()), tile.level_index(), size).unwrap();
            assert_eq!(u32::from(id.width), tile.width());
            assert_eq!(tile.path(), id.path().replacen("tile/", "tile/8/", 1));
            let bytes = tile.read_data(&stored).unwrap();
            let nodes = TileNodes::from_bytes(&bytes).unwrap();
            assert_eq!(nodes.bytes(id.width), Some(bytes));
            for height in 0..=8 {
                for index in 0..id.width >> height {
                    let level = tile.level() * 8 + height;
                    let index_on_level = (tile.level_index() << (8 - height)) + u64::from(index);
                    let expected = stored.0[stored_hash_index(level, index_on_level) as usize];
                    assert_eq!(nodes.node(height, index), Some(Hash(expected.0)));
                }
            }
            count += 1;
        }
        let ours = (0..8)
            .flat_map(|level| (0..).map_while(move |index| widest(TileKind::Hashes(level), index, size)));
        assert_eq!(count, ours.count());
    }
}

proptest! {
    #[test]
    fn paths(level in 0_u8..=63, index: u64, shift in 0_u32..64, width in 1_u16..=256) {
        let id = TileId::hashes(level, index >> shift, width);
        let tile = tlog_tiles::Tile::new(8, level, index >> shift, u32::from(width), false);
        prop_assert_eq!(tile.path(), id.path().replacen("tile/", "tile/8/", 1));
    }

    #[test]
    fn both_read_the_same_notes(text in "[a-z\n \t+—]{0,20}", lines in "(— [a-z+]{0,2} (AAAA|AAAAAAA=|!)?\n|\n|x){0,3}") {
        let note = format!("{text}\n{lines}");
        let mine = Note::parse(&note);
        let other = signed_note::Note::from_bytes(note.as_bytes());
        prop_assert_eq!(mine.is_ok(), other.is_ok(), "{:?} {:?}", mine, note);
        if let (Ok(mine), Ok(other)) = (mine, other) {
            prop_assert_eq!(mine.text.as_bytes(), other.text());
            prop_assert_eq!(mine.to_string().into_bytes(), other.to_bytes());
        }
    }

    #[test]
    fn both_read_the_same_checkpoints(text in "([a-z ]{0,3}\n)?(0|[0-9]{1,3}|)\n?(([A-Za-z0-9+/]{42}[AEQ]=)|[a-z]{0,2})\n([a-z]{0,2}\n){0,2}") {
        let mine = Checkpoint::parse(&text);
        let other = tlog_tiles::Checkpoint::from_bytes(text.as_bytes());
        prop_assert_eq!(mine.is_ok(), other.is_ok(), "{:?} {:?}", mine, text);
        if let (Ok(mine), Ok(other)) = (mine, other) {
            prop_assert_eq!((mine.size, mine.root.0), (other.size(), other.hash().0));
            prop_assert_eq!(mine.text().into_bytes(), other.to_bytes());
        }
    }

    #[test]
    fn they_verify_what_we_sign(seed: [u8; 32], size: u64, root: [u8; 32], name in "[a-z.]{1,12}") {
        let key = Ed25519Signer::new(&name, Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()).unwrap();
        let checkpoint = Checkpoint { origin: name, size, root: Hash(root), extensions: vec!["x y".to_owned()] };
        let note = checkpoint.sign(&key).unwrap().to_string();
        let (opened, _) = Checkpoint::open(&note, key.verifier()).unwrap();
        prop_assert_eq!(&opened, &checkpoint);

        let verifier = signed_note::StandardVerifier::new(&key.verifier().vkey()).unwrap();
        prop_assert_eq!(verifier.key_id().to_be_bytes(), key.verifier().key_id());
        let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
        let theirs = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
        prop_assert_eq!(theirs.verify(&known).unwrap().0.len(), 1);
    }
}
