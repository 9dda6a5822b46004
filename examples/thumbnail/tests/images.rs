//! Tests the agent with images of every format, and with files that are none.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};
use openagents_sdk::testing::{Job, TestAgent};
use thumbnail::ThumbnailAgent;

/// An image of this size as a file.
fn file(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(width, height).write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// The type and the size of what the agent makes of a file.
fn shrunk(job: Job) -> (String, u32, u32) {
    let mut agent = TestAgent::<ThumbnailAgent>::start();
    let job = agent.submit(job);
    let result = agent.result(&job);
    assert!(result.content.starts_with("blossom:"), "{}", result.content);
    let blobs = agent.blobs();
    let [(descriptor, bytes)] = blobs.as_slice() else { panic!("one image, not {}", blobs.len()) };
    let image = image::load_from_memory(bytes).unwrap();
    (descriptor.media_type.as_str().to_owned(), image.width(), image.height())
}

/// The error for a file.
fn refusal(bytes: Vec<u8>) -> String {
    let mut agent = TestAgent::<ThumbnailAgent>::start();
    let job = agent.submit(Job::of(5110).file(bytes, "image/png"));
    agent.error(&job)
}

#[test]
fn makes_images_smaller_and_keeps_their_proportions() {
    let job = |format, name| Job::of(5110).file(file(1_000, 500, format), name).param("size", "100");
    assert_eq!(shrunk(job(ImageFormat::Png, "image/png")), ("image/png".to_owned(), 100, 50));
    assert_eq!(shrunk(job(ImageFormat::Jpeg, "image/jpeg")), ("image/jpeg".to_owned(), 100, 50));
    assert_eq!(shrunk(job(ImageFormat::WebP, "image/webp")), ("image/png".to_owned(), 100, 50));
    // What the customer calls it does not matter.
    assert_eq!(shrunk(job(ImageFormat::Jpeg, "image/png")), ("image/jpeg".to_owned(), 100, 50));
}

#[test]
fn leaves_small_images_as_they_are() {
    let job = Job::of(5110).file(file(30, 20, ImageFormat::Png), "image/png");
    assert_eq!(shrunk(job), ("image/png".to_owned(), 30, 20));
}

#[test]
fn refuses_what_is_no_image() {
    assert!(refusal(b"a text".to_vec()).contains("PNG, JPEG and WebP"));
    let cut_off = file(300, 300, ImageFormat::Png)[..60].to_vec();
    assert!(refusal(cut_off).contains("cannot be read"));
}

#[test]
fn refuses_a_small_file_that_is_a_huge_image() {
    let mut bomb = file(1, 1, ImageFormat::Png);
    // The width and the height in the header (IHDR), and its checksum.
    bomb[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
    let checksum = crc(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    assert!(refusal(bomb).contains("too large: 50000 x 50000 pixels"));
}

/// The checksum of a PNG chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}
