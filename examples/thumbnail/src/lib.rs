//! An agent that makes images smaller.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader};
use openagents_sdk::BlobDescriptor;
use openagents_sdk::prelude::*;

/// Makes images smaller.
#[agent(name = "thumbnail", topics("image"))]
#[derive(Default, Serialize, Deserialize)]
pub struct ThumbnailAgent;

#[derive(JobParams)]
struct Thumbnail {
    /// The width and the height that the image may have, in pixels.
    #[param(default = 320, min = 1, max = 2048)]
    size: u32,
}

#[jobs]
impl ThumbnailAgent {
    /// Make a smaller image: a PNG, JPEG or WebP file of up to 16 megapixels, whose proportions stay as they are.
    #[job(kind = 5110)]
    async fn shrink(
        &self,
        file: Blob,
        params: Params<Thumbnail>,
        context: JobContext,
    ) -> JobResult<BlobDescriptor> {
        let (image, format) = decoded(file.bytes())?;
        let fits = image.width() <= params.size && image.height() <= params.size;
        let small = if fits { image } else { image.thumbnail(params.size, params.size) };
        let bytes = encoded(small, format)?;
        context.blobs().store(bytes, format.to_mime_type()).await
    }
}

/// A few bytes can claim to be a huge image: as many bytes it may take in memory, of which a Worker has 128 MB.
const MAX_DECODED_BYTES: u64 = 64 * 1024 * 1024;

/// The image, upright, and the format in which it is returned.
fn decoded(bytes: &[u8]) -> JobResult<(DynamicImage, ImageFormat)> {
    let unreadable =
        |error: image::ImageError| JobError::failed(format!("the image cannot be read: {error}"));
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().terminal()?;
    let format = match reader.format() {
        Some(ImageFormat::Jpeg) => ImageFormat::Jpeg,
        // WebP is only read.
        Some(ImageFormat::Png | ImageFormat::WebP) => ImageFormat::Png,
        _ => return Err(JobError::failed("this job takes PNG, JPEG and WebP images")),
    };
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        let (width, height) = decoder.dimensions();
        return Err(JobError::failed(format!("the image is too large: {width} x {height} pixels")));
    }
    let orientation = decoder.orientation().map_err(unreadable)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    image.apply_orientation(orientation);
    Ok((image, format))
}

/// The image as a file, without what a camera adds, such as its place.
fn encoded(image: DynamicImage, format: ImageFormat) -> JobResult<Vec<u8>> {
    // JPEG has neither transparency nor 16 bits for a colour.
    let image = if format == ImageFormat::Jpeg { image.into_rgb8().into() } else { image };
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).terminal()?;
    Ok(file.into_inner())
}

openagents_sdk::deployment!(ThumbnailAgent);
