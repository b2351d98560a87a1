//! Views against scripted code.
