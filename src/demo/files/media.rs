//! What a file is, by its name: the one table of the listing's `MimeType` and of the `Content-Type` of downloads.

/// The media type of a file of this name, as a web server's table says.
pub(in crate::demo) fn media_type(file_name: &str) -> &'static str {
    let extension = file_name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "dgn" => "image/vnd.dgn",
        "dwg" => "image/vnd.dwg",
        "dxf" => "image/vnd.dxf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "tif" | "tiff" => "image/tiff",
        "txt" | "log" => "text/plain",
        "csv" => "text/csv",
        "htm" | "html" => "text/html",
        "xml" => "application/xml",
        "json" => "application/json",
        "zip" => "application/zip",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "ppt" => "application/vnd.ms-powerpoint",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_extension_tells_in_any_case() {
        assert_eq!(media_type("A.1.PDF"), "application/pdf");
        assert_eq!(media_type("site.jpeg"), media_type("site.jpg"));
        assert_eq!(media_type("pdf"), "application/octet-stream");
        assert_eq!(media_type("a.pdf.bak"), "application/octet-stream");
    }
}
