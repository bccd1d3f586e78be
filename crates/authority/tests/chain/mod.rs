//! A root, an intermediate and a certificate for timestamps, made by a library that is not ours.

use std::sync::Arc;

use bulla_authority::PrivateKey;
use bulla_claims::SigningKey;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};

/// The certificates in DER, leaf first, and the leaf's key.
pub(crate) fn chain(algorithm: &'static SignatureAlgorithm) -> (Vec<Vec<u8>>, Arc<dyn PrivateKey>) {
    chain_with(algorithm, |_| ())
}

/// The same, with a leaf that is changed before it is signed.
pub(crate) fn chain_with(
    algorithm: &'static SignatureAlgorithm,
    change: impl FnOnce(&mut CertificateParams),
) -> (Vec<Vec<u8>>, Arc<dyn PrivateKey>) {
    let key = || KeyPair::generate_for(algorithm).expect("a key");
    let (root_key, middle_key, leaf_key) = (key(), key(), key());
    let root_params = authority("timestamp root");
    let root = root_params.self_signed(&root_key).expect("a root");
    let root_issuer = Issuer::new(root_params, root_key);
    let mut middle_params = authority("timestamp intermediate");
    // Not every client asks for it here, but some refuse an intermediate without.
    middle_params.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
    let middle = middle_params.signed_by(&middle_key, &root_issuer).expect("an intermediate");
    let middle_issuer = Issuer::new(middle_params, middle_key);
    let mut leaf_params = params("timestamp leaf");
    leaf_params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Critical, which the library has no word for.
    let time_stamping = vec![0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];
    let mut usage = CustomExtension::from_oid_content(&[2, 5, 29, 37], time_stamping);
    usage.set_criticality(true);
    leaf_params.custom_extensions = vec![usage];
    change(&mut leaf_params);
    let leaf = leaf_params.signed_by(&leaf_key, &middle_issuer).expect("a leaf");
    let chain = [leaf, middle, root].iter().map(|certificate| certificate.der().to_vec()).collect();
    (chain, Arc::new(SigningKey::from_pem(&leaf_key.serialize_pem(), None).expect("a key")))
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
