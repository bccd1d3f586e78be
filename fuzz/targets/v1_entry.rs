//! What clients propose at the v1 door: a letter for the kind, and the `spec`. What is admitted can be searched for as it
//! was proposed, read again, and found.
#![no_main]

use bulla_claims::describe;
use bulla_claims::entry::v1::{Proposed, Rules, admit, kinds, template};
use bulla_claims::traces::{KeyCache, traces};
use serde_json::value::RawValue;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((letter, spec)) = input.split_first() else { return };
    let Ok(spec) = serde_json::from_slice::<&RawValue>(spec) else { return };
    let which = usize::from(letter.wrapping_sub(b'a')) % kinds().len();
    let (kind, api_version) = kinds().nth(which).expect("is in the list");
    let proposed = Proposed { kind, api_version, spec };
    let rules = Rules::default();
    let searched = template(&proposed, &rules);
    if let Ok(admitted) = admit(&proposed, &rules) {
        assert_eq!(searched.as_ref(), Ok(&admitted.body));
        assert!(admitted.named.is_sorted() && admitted.named.iter().all(|name| !name.contains('\n')));
        describe(&admitted.body).expect("a leaf can be read");
    }
    if let Ok(body) = searched {
        // A search may ask for less than a leaf has.
        let _found = traces(&body, &mut KeyCache::new());
    }
});
