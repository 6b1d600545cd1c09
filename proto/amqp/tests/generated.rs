//! The committed table is what the generator makes of the committed definition.

#![allow(clippy::unwrap_used)]

#[path = "../examples/generate/render.rs"]
mod render;

#[test]
fn generated_table_is_up_to_date() {
    let fresh = render::render(include_str!("../spec/amqp-0-9-1.json")).unwrap();
    assert!(fresh == include_str!("../src/generated.rs"), "run: cargo run --release -p warren-amqp --example generate");
}
