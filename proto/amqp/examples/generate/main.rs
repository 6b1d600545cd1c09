//! Writes `src/generated.rs` from `spec/amqp-0-9-1.json`:
//! `cargo run --release -p warren-amqp --example generate`.

mod render;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = env!("CARGO_MANIFEST_DIR");
    let spec = std::fs::read_to_string(format!("{root}/spec/amqp-0-9-1.json"))?;
    std::fs::write(format!("{root}/src/generated.rs"), render::render(&spec)?)?;
    Ok(())
}
