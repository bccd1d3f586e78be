//! Compiles `proto/` to Rust and to the descriptor set that gRPC reflection serves, without an installed `protoc`.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    let files = compiler.include_imports(true).open_file("fulcio/v2/fulcio.proto")?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out.join("fulcio_v2.fds"), files.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_transport(false)
        .include_file("protos.rs")
        .compile_fds(files.file_descriptor_set())?;
    Ok(())
}
