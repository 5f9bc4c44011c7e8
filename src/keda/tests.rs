//! The generated code is what the interface says.

/// What tonic makes of the interface, without a protoc.
fn generate() -> String {
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let files = protox::compile(["externalscaler.proto"], [proto]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .out_dir(dir.path())
        .compile_fds(files)
        .unwrap();
    std::fs::read_to_string(dir.path().join("externalscaler.rs")).unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of the test itself")]
fn the_generated_code_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/keda/generated.rs");
    let made = generate();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == made,
        "src/keda/generated.rs is not what proto/externalscaler.proto makes; run the test with \
         UPDATE_GENERATED=1"
    );
}
