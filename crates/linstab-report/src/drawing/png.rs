//! SVG to PNG, with the embedded font and nothing from the system.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use crate::{ReportError, Result};

/// Pixels a point: 216 dots per inch.
const SCALE: f32 = 3.0;

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(include_bytes!("../../assets/fonts/Roboto-Regular.ttf").to_vec());
    fonts.load_font_data(include_bytes!("../../assets/fonts/Roboto-Bold.ttf").to_vec());
    Arc::new(fonts)
});

pub(super) fn render(figure: &str, svg: &str) -> Result<Vec<u8>> {
    let failed = |message: String| ReportError::Render { figure: figure.to_owned(), message };
    let options = Options { fontdb: Arc::clone(&FONTS), dpi: 72.0, ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| failed(error.to_string()))?;
    let size = tree
        .size()
        .to_int_size()
        .scale_by(SCALE)
        .ok_or_else(|| failed("the figure has no size".to_owned()))?;
    let mut pixels = Pixmap::new(size.width(), size.height())
        .ok_or_else(|| failed(format!("no memory for {} x {} pixels", size.width(), size.height())))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(error.to_string()))
}
