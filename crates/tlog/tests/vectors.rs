//! The worked vectors of a log of three entries and of a large synthetic tree, byte for byte: keys, tiles, checkpoint,
//! add-checkpoint, cosignatures, proof file.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::add_checkpoint::{self, Request};
use bulla_tlog::cosignature::{CosignatureSigner, CosignatureVerifier, ml_dsa_message};
use bulla_tlog::note::{Ed25519Signer, Signature, Verifier};
use bulla_tlog::tlog_proof::TlogProof;
use bulla_tlog::{
    Checkpoint, Edge, Hash, Node, Plan, TileKind, TileNodes, WIDTH, entries, leaf_hash, level_len, node_hash,
    push_entry, right_edge, sha256, verify_consistency, verify_inclusion, widest,
};

const ENTRIES: [&[u8]; 3] = [
    include_bytes!("vectors/entry0.json"),
    include_bytes!("vectors/entry1.json"),
    include_bytes!("vectors/entry2.json"),
];
const CHECKPOINT: &str = include_str!("vectors/checkpoint");
const ADD_CHECKPOINT: &str = include_str!("vectors/add-checkpoint");
const COSIGNATURE: &str = include_str!("vectors/cosignature");
const TLOG_PROOF: &str = include_str!("vectors/proof.tlog-proof");

const ORIGIN: &str = "log.example.org";
const LOG_VKEY: &str = "log.example.org+b1db5813+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const WITNESS_VKEY: &str = "witness.example.org+0ea12664+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
const TIME: u64 = 1_700_000_000;

/// A seed of 32 bytes that count up.
fn seed(first: u8) -> Vec<u8> {
    (first..first + 32).collect()
}

fn log_signer() -> Ed25519Signer {
    Ed25519Signer::new(ORIGIN, Ed25519KeyPair::from_seed_unchecked(&seed(0)).unwrap()).unwrap()
}

fn witness() -> CosignatureSigner {
    let key = Ed25519KeyPair::from_seed_unchecked(&seed(0x20)).unwrap();
    CosignatureSigner::new("witness.example.org", key).unwrap()
}

fn hash(hex: &str) -> Hash {
    Hash::from_hex(hex).unwrap()
}

fn concat(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

#[test]
fn keys() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed(0)).unwrap();
    let public = hash("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
    assert_eq!(pair.public_key().as_ref(), public.0);

    let spki = STANDARD.decode("MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=").unwrap();
    let log = Verifier::from_vkey(LOG_VKEY).unwrap();
    assert_eq!(log.spki(), spki);
    assert_eq!(log.vkey(), LOG_VKEY);
    assert_eq!(log.log_id(), hash("b1db58133ea1204c0a96663b77acfc2fbe8334ed6276706f6d189f9dd286e0bd"));
    assert_eq!(log.log_id().to_base64(), "sdtYEz6hIEwKlmY7d6z8L76DNO1idnBvbRifndKG4L0=");
    assert_eq!(log.key_id(), [0xb1, 0xdb, 0x58, 0x13]);
    let same = Verifier::from_spki(ORIGIN, &spki).unwrap();
    assert_eq!((same.vkey(), same.log_id()), (log.vkey(), log.log_id()));
    assert_eq!(witness().vkey(), WITNESS_VKEY);

    let ecdsa = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAhfmF/C2RDkoJ4+WmZ5pojpPLBUr321s32bluAKC1O0ZSn3ry5dxLS3aPKhaqHZaVvRfx1hZllLyiXxlMG5XlA==";
    let ecdsa = Verifier::from_spki(ORIGIN, &STANDARD.decode(ecdsa).unwrap()).unwrap();
    assert_eq!(ecdsa.log_id(), hash("76805a63a6980c18075424a13f32772d02d7c71b4965754c1ce84f5841220327"));

    let head: &[u8] = b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00\x30\x82\x01\x0a\x02\x82\x01\x01\x00\xc5";
    let rsa = [head, &[0x5a; 254], b"\x01\x02\x03\x01\x00\x01"].concat();
    assert_eq!(rsa.len(), 294);
    assert_eq!(sha256(&rsa), hash("59c87ada5fbcb99149843b21e54da091f4e27c26b590ac7fd7a6eae6997985f3"));
    let rsa = Verifier::from_spki(ORIGIN, &rsa).unwrap();
    assert_eq!(rsa.log_id(), hash("8b2a3ab3a648b36e4f6541f8ca8e6c4f8437f2eda4b565f29636d43d128f2a95"));

    for key in [ecdsa, rsa] {
        assert_eq!(Verifier::from_vkey(&key.vkey()).unwrap().log_id(), key.log_id());
    }
}

#[test]
fn keys_of_others() {
    let local =
        Verifier::from_vkey("rekor-local+d80b4420+AURLycjWRo1+gdwwCLg9wU4PayMFdNBmPF4ORVPiBQ1E").unwrap();
    assert_eq!(local.log_id().to_base64(), "2AtEIMfG6Y41yK0tcwRTBS2tjhOrjKGIpDkHFgp65g0=");
}

#[test]
fn a_log_of_three_entries() {
    let leaves = ENTRIES.map(leaf_hash);
    assert_eq!(
        leaves,
        [
            "fc955c8f308d2339a28cc3904a293ab87b95832d66b5047a217680ffbd654f2b",
            "6f4cc16b4f53d525a0c19293df7fcb3bcfe962433d2f5d4420cd203f76cf4474",
            "4d67a25dd79f8fdc5d772612bc80baa4124d1302d394dfa83a46357eddcfefb3",
        ]
        .map(hash)
    );
    let left = node_hash(&leaves[0], &leaves[1]);
    assert_eq!(left, hash("8b3c6a2b11151642dd4c867c39c1fcac5b051636d29d10e5ee7b16f048a80f30"));

    let (mut edge, mut tile, mut bundle) = (Edge::new(), TileNodes::new(), Vec::new());
    for (entry, leaf) in ENTRIES.iter().zip(leaves) {
        edge.append(leaf);
        tile.push(leaf).unwrap();
        push_entry(&mut bundle, entry).unwrap();
    }
    let root = hash("b91eeb1de20f3bad4eca6e9b124884223fca59bdd40b6c5b5c7e267516645332");
    assert_eq!(edge.root(), root);
    assert_eq!(edge.nodes(), [left, leaves[2]]);
    let paths: Vec<_> = right_edge(3).iter().map(bulla_tlog::TileId::path).collect();
    assert_eq!(paths, ["tile/0/000.p/3", "tile/entries/000.p/3"]);
    assert_eq!(
        sha256(&tile.bytes(3).unwrap()),
        hash("0828d8bee148c3b45c66ef00d4be9ca3fdff1873a598a3dda3e0799b384e0b3a")
    );
    assert_eq!((bundle.len(), &bundle[..2]), (1687, &[0x01, 0xe9][..]));
    assert_eq!(sha256(&bundle), hash("4fad72b97774b38c23161131e35ad7f80d55ab68465c4658f2a66fc2ed42d975"));
    assert_eq!(entries(&bundle).unwrap(), ENTRIES);

    let fetch = |plan: Plan| -> Vec<Hash> {
        plan.finish(
            &plan
                .nodes()
                .iter()
                .map(|node| tile.node(node.level, node.index as u16).unwrap())
                .collect::<Vec<_>>(),
        )
    };
    let inclusion = fetch(Plan::inclusion(1, 3).unwrap());
    assert_eq!(inclusion, [leaves[0], leaves[2]]);
    assert_eq!(verify_inclusion(&leaves[1], 1, 3, &inclusion, &root), Ok(()));
    let consistency = fetch(Plan::consistency(1, 3).unwrap());
    assert_eq!(consistency, [leaves[1], leaves[2]]);
    assert_eq!(verify_consistency(1, 3, &leaves[0], &root, &consistency), Ok(()));
}

#[test]
fn checkpoints() {
    let log = log_signer();
    let root = hash("b91eeb1de20f3bad4eca6e9b124884223fca59bdd40b6c5b5c7e267516645332");
    let three = Checkpoint { origin: ORIGIN.to_owned(), size: 3, root, extensions: vec![] };
    assert_eq!(three.sign(&log).unwrap().to_string(), CHECKPOINT);
    let (opened, note) = Checkpoint::open(CHECKPOINT, log.verifier()).unwrap();
    assert_eq!(opened, three);
    assert_eq!(note.to_string(), CHECKPOINT);

    let one = Checkpoint { size: 1, root: leaf_hash(ENTRIES[0]), ..three };
    assert_eq!(
        one.sign(&log).unwrap().signatures[0].to_string(),
        "— log.example.org sdtYE0NKX/7sLlBj5zlkrSIe5ZX0411pNa+Js4Bbaou9xa9n0Zmhaa+I6W17rm6u2HNJlvlqYtuWsjxsnzrYLiwh8wg="
    );
}

#[test]
fn a_witness_and_its_log() {
    let request = Request::parse(ADD_CHECKPOINT.as_bytes()).unwrap();
    let leaves = ENTRIES.map(leaf_hash);
    assert_eq!(
        request,
        Request { old: 1, proof: vec![leaves[1], leaves[2]], checkpoint: CHECKPOINT.to_owned() }
    );
    assert_eq!(request.to_string(), ADD_CHECKPOINT);

    let log = Verifier::from_vkey(LOG_VKEY).unwrap();
    let (checkpoint, mut note) = Checkpoint::open(&request.checkpoint, &log).unwrap();
    assert_eq!(request.judge(&checkpoint, Some((1, leaves[0]))), Ok(()));
    let line = witness().cosign(&checkpoint, TIME).unwrap();
    assert_eq!(add_checkpoint::response(std::slice::from_ref(&line)), COSIGNATURE);

    let answer = add_checkpoint::parse_response(COSIGNATURE.as_bytes()).unwrap();
    assert_eq!(answer, [line]);
    let verifier = CosignatureVerifier::from_vkey(WITNESS_VKEY).unwrap();
    assert_eq!(verifier.verify(&checkpoint, &answer[0]), Some(TIME));
    assert_eq!(verifier.vkey(), WITNESS_VKEY);
    note.signatures.extend(answer);
    assert_eq!(note.to_string(), format!("{CHECKPOINT}{COSIGNATURE}"));
    assert!(note.verified_by(&log));

    // The same key as a plain Ed25519 vkey is the same cosigner.
    let key = Ed25519KeyPair::from_seed_unchecked(&seed(0x20)).unwrap();
    let prefix = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
    let plain =
        Verifier::from_spki("witness.example.org", &[prefix, key.public_key().as_ref()].concat()).unwrap();
    assert_ne!(plain.vkey(), WITNESS_VKEY);
    assert_eq!(CosignatureVerifier::from_vkey(&plain.vkey()).unwrap().vkey(), WITNESS_VKEY);
}

#[test]
fn a_proof_file() {
    let proof = TlogProof::parse(TLOG_PROOF).unwrap();
    let leaves = ENTRIES.map(leaf_hash);
    let hashes = vec![leaves[0], leaves[2]];
    assert_eq!(proof, TlogProof { extra: None, index: 1, hashes, checkpoint: CHECKPOINT.to_owned() });
    assert_eq!(proof.to_string(), TLOG_PROOF);
    let log = Verifier::from_vkey(LOG_VKEY).unwrap();
    assert_eq!(proof.verify(&leaves[1], &log).unwrap().0.size, 3);
    assert!(proof.verify(&leaves[0], &log).is_err());
}

#[test]
fn bytes_that_an_ml_dsa_witness_signs() {
    let checkpoint = Checkpoint::parse(
        CHECKPOINT.split_once("\n\n").map(|(text, _)| format!("{text}\n")).unwrap().as_str(),
    );
    let message = ml_dsa_message("witness.example.org", &checkpoint.unwrap(), TIME).unwrap();
    let hex = message.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    assert_eq!(
        hex,
        "737562747265652f76310a00137769746e6573732e6578616d706c652e6f7267000000006553f1000f6c6f672e6578616d706c652e6f\
         726700000000000000000000000000000003b91eeb1de20f3bad4eca6e9b124884223fca59bdd40b6c5b5c7e267516645332"
    );
}

/// The tree whose leaf i is the ASCII decimal of i, kept as a log keeps it: tiles and bundles.
struct Synthetic {
    levels: Vec<Vec<TileNodes>>,
    bundles: Vec<Vec<u8>>,
}

impl Synthetic {
    /// Grows to `size`, telling every root on the way.
    fn grow(size: u64, mut root: impl FnMut(u64, Hash)) -> Self {
        let mut tree = Self { levels: vec![], bundles: vec![] };
        let mut edge = Edge::new();
        root(0, edge.root());
        for index in 0..size {
            let entry = index.to_string();
            let leaf = leaf_hash(entry.as_bytes());
            if index % WIDTH == 0 {
                tree.bundles.push(vec![]);
            }
            push_entry(tree.bundles.last_mut().unwrap(), entry.as_bytes()).unwrap();
            edge.append(leaf);
            tree.push(leaf);
            root(index + 1, edge.root());
        }
        tree
    }

    fn push(&mut self, leaf: Hash) {
        let mut next = Some(leaf);
        for level in 0.. {
            let Some(hash) = next else { break };
            if level == self.levels.len() {
                self.levels.push(vec![]);
            }
            let tiles = &mut self.levels[level];
            if tiles.last().is_none_or(|tile| u64::from(tile.width()) == WIDTH) {
                tiles.push(TileNodes::new());
            }
            next = tiles.last_mut().unwrap().push(hash).unwrap();
        }
    }

    fn fetch(&self, plan: &Plan) -> Vec<Hash> {
        let fetch = |node: &Node| {
            let (level, tile, height, index) = node.in_tile();
            self.levels[usize::from(level)][tile as usize].node(height, index).unwrap()
        };
        plan.finish(&plan.nodes().iter().map(fetch).collect::<Vec<_>>())
    }
}

#[test]
fn a_large_synthetic_tree() {
    let roots = [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, "db3426e878068d28d269b6c87172322ce5372b65756d0789001d34835f601c03"),
        (2, "cb00989d94a569c0a678ae042b63dcd4625db96440517f37a6eb7976ea24ed4b"),
        (3, "725d5230db68f557470dc35f1d8865813acd7ebb07ad152774141decbae71327"),
        (5, "b6748f6ed7a99de7da84fd97e1a3bac6fab8999f4a43695cab9528a2de431147"),
        (8, "3b85a9626c1ccb64c6b95ec7fa64888defe2cf12e39e77e10812ce5fcb9cb58e"),
        (255, "32f85bcaa87d7bcd05728f09e9aeba350ba6a2f733830087f0597682848be5cb"),
        (256, "828515d033c19d8c901f37eccb8aed919667703486f8d2fff1cf7040321c5db1"),
        (257, "1eda049a4351d86f76252bd7ec0b7746ad75b7fa0316ad5f541dbda458a312c4"),
        (511, "5f3d69e102370be409122d11a2e605e6b653b071b8b4b4bd2833fae40652f11d"),
        (512, "d4b2162495ca609dc06390d353ca0c55107765c609e0226eb747d89105dc8d55"),
        (65_535, "74f13a0e1a75689372efb990cf68c664e44c763d9304844955b2eaff624e8df1"),
        (65_536, "f025d06ed804859fd274a1bdacadd6e48ea87634aa91e1edb20143f9498cd02b"),
        (65_537, "dc8795a25fd4bd52a0b84f639fd3139ba160824023d188e428eb5db0f3ce221a"),
        (70_000, "1a4cdfcb66374a0c0dcbef49acbd4976d13ee864fb3cb241fc943cad04f02f7e"),
    ];
    let mut seen = 0;
    let (mut old_root, mut new_root) = (Hash([0; 32]), Hash([0; 32]));
    let tree = Synthetic::grow(70_000, |size, root| {
        if let Some((_, expected)) = roots.iter().find(|(listed, _)| *listed == size) {
            assert_eq!(root, hash(expected), "{size}");
            seen += 1;
        }
        if size == 257 {
            old_root = root;
        }
        new_root = root;
    });
    assert_eq!(seen, roots.len());

    for (level, index, path, expected) in [
        (0, 0, "tile/0/000", "b9704a8bfbee2c61185ceb38904a49f3f703c81e194b5b2ccdc254c2bdaaa62b"),
        (0, 273, "tile/0/273.p/112", "4d21244557c976993a9a89bf928a46b5a876585228df279878239fd84489e5a5"),
        (1, 0, "tile/1/000", "ea7b038bc73489c89c31a27ac355aaca65a4ed73f0dd7484e68deb29d30f10a2"),
        (1, 1, "tile/1/001.p/17", "adfaca2731630fe7944a4b98a0f98ef3e98685eafda09e6f81070218fb759ce4"),
        (2, 0, "tile/2/000.p/1", "f0113c8bad855b49f9a5dd661d50012cd94f19aae87a45eb8334666835e3caea"),
    ] {
        let tile = widest(TileKind::Hashes(level), index, 70_000).unwrap();
        assert_eq!(tile.path(), path);
        let nodes = &tree.levels[usize::from(level)][index as usize];
        assert_eq!(sha256(&nodes.bytes(tile.width).unwrap()), hash(expected), "{path}");
    }
    for (level, tiles) in (0..).zip(&tree.levels) {
        let len: u64 = tiles.iter().map(|tile| u64::from(tile.width())).sum();
        assert_eq!(len, level_len(70_000, level));
    }
    for (index, path, len, expected) in [
        (0, "tile/entries/000", 1170, "94693d5c6d6a0355ec07bac8214516c1ce6a5100b0588f226fd95f26571157d7"),
        (
            273,
            "tile/entries/273.p/112",
            784,
            "36c3ec44895d1b8098dbe8523078d6750bf09e0f12cd64671ebfe165b7647405",
        ),
    ] {
        assert_eq!(widest(TileKind::Entries, index, 70_000).unwrap().path(), path);
        let bundle = &tree.bundles[index as usize];
        assert_eq!((bundle.len(), sha256(bundle)), (len, hash(expected)), "{path}");
    }

    let inclusion = tree.fetch(&Plan::inclusion(12_345, 70_000).unwrap());
    assert_eq!(inclusion.len(), 17);
    assert_eq!(inclusion[0], hash("883a92ae2496f1675a5adf45ed4755fdeb4e5f8a25100f2d871276afa8231dff"));
    assert_eq!(inclusion[16], hash("41e59d75a61680c14d8b166aefac6c6533c7a4a0acaca6da8262581d8288da2d"));
    assert_eq!(
        sha256(&concat(&inclusion)),
        hash("15e3537b4677d40e7f98553df49a1f00747bdfcd478b0592c64864516e6b1f91")
    );
    assert_eq!(verify_inclusion(&leaf_hash(b"12345"), 12_345, 70_000, &inclusion, &new_root), Ok(()));
    let consistency = tree.fetch(&Plan::consistency(257, 70_000).unwrap());
    assert_eq!(consistency.len(), 18);
    assert_eq!(
        sha256(&concat(&consistency)),
        hash("cd1f1b65d42cb77a52296e05094bb824fbad15fb6f19c4010e864bcb9d9c8f7c")
    );
    assert_eq!(verify_consistency(257, 70_000, &old_root, &new_root, &consistency), Ok(()));
}

#[test]
fn a_changed_signature_line_is_not_anyones() {
    let log = Verifier::from_vkey(LOG_VKEY).unwrap();
    let witness = CosignatureVerifier::from_vkey(WITNESS_VKEY).unwrap();
    let (checkpoint, note) = Checkpoint::open(CHECKPOINT, &log).unwrap();
    let line = Signature::parse(COSIGNATURE.trim_end()).unwrap();
    for byte in 0..line.bytes.len() {
        let mut changed = line.clone();
        changed.bytes[byte] ^= 1;
        assert_eq!(witness.verify(&checkpoint, &changed), None);
    }
    for byte in 0..note.signatures[0].bytes.len() {
        let mut changed = note.clone();
        changed.signatures[0].bytes[byte] ^= 1;
        assert!(Checkpoint::open(&changed.to_string(), &log).is_err());
    }
}
