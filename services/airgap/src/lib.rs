//! Archives of images with their signatures.
