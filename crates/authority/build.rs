//! Compiles `proto/` to Rust, without an installed `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    tonic_prost_build::configure()
        .build_client(true)
        .build_transport(false)
        .include_file("protos.rs")
        .compile_fds(protox::compile(["fulcio/v2/fulcio.proto"], ["proto"])?)?;
    Ok(())
}
