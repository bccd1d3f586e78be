//! Pointers from what a report shows to the places in three catalogues that auditors work with. They say where it may serve as
//! evidence. Whether a control is met is for an auditor to say, of more than images; nothing here claims it.

use serde::Serialize;

use super::stock::{Summary, Totals};

/// A place in a catalogue, and what the report has for it.
#[derive(Serialize)]
pub(crate) struct Pointer {
    /// Which catalogue.
    pub(crate) catalogue: &'static str,
    /// Where in it.
    pub(crate) control: &'static str,
    /// What it is about, in our words.
    pub(crate) about: &'static str,
    /// What this report shows that bears on it.
    pub(crate) evidence: String,
    /// The members of the report that it is read from.
    pub(crate) see: &'static [&'static str],
}

/// What must not be read into it.
pub(crate) const ABOUT: &str = "Evidence of what these images had when the report was made: which signatures and statements, by whom, and \
     in which logs. It is no claim that any control or level is met, and no statement about what is in the images.";

/// All of them.
pub(crate) fn pointers(summary: &Summary) -> Vec<Pointer> {
    let Totals { images, verified, coverage, .. } = &summary.totals;
    let has = |what: &str, yes: u64| format!("{yes} of {images} images have {what} that was verified");
    let signed = || format!("{verified} of {images} images are signed by those who had to sign them");
    let logged = || {
        let entries: u64 = summary.logs.iter().map(|log| log.entries).sum();
        format!("{entries} entries in {} logs were proved or promised to be there", summary.logs.len())
    };
    let signers =
        || format!("{} signers, each with the first and the last time it signed", summary.signers.len());
    let images = &["images", "totals"][..];
    let pointer =
        |catalogue, control, about, evidence, see| Pointer { catalogue, control, about, evidence, see };
    let (soc2, ssdf, slsa) = ("SOC 2 (TSC 2017)", "NIST SP 800-218 (SSDF 1.1)", "SLSA 1.0");
    vec![
        pointer(soc2, "CC6.8", "unauthorised software is prevented or found", signed(), images),
        pointer(
            soc2,
            "CC7.1",
            "vulnerabilities and changes are watched for",
            has("the result of a scan", coverage.vulnerability_scan.yes),
            images,
        ),
        pointer(
            soc2,
            "CC8.1",
            "changes are authorised before they are put into use",
            signers(),
            &["signers"],
        ),
        pointer(
            ssdf,
            "PS.2.1",
            "those who get software can verify that it is what was released",
            signed(),
            images,
        ),
        pointer(ssdf, "PS.3.1", "what is needed to verify a release is kept", logged(), &["logs", "images"]),
        pointer(
            ssdf,
            "PS.3.2",
            "provenance of the components of a release is kept and shared",
            has("a bill of materials", coverage.sbom.yes),
            images,
        ),
        pointer(
            ssdf,
            "RV.1.1",
            "information about vulnerabilities is gathered",
            has("a statement of which vulnerabilities matter", coverage.vex.yes),
            images,
        ),
        pointer(slsa, "Build L1", "provenance is there", has("provenance", coverage.provenance.yes), images),
        pointer(
            slsa,
            "Build L2",
            "provenance is authentic",
            has("provenance, signed by those who may,", coverage.provenance.yes),
            &["images", "signers"],
        ),
        pointer(slsa, "Verification", "consumers verify what they run", signed(), images),
    ]
}
