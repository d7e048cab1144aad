"""Measured facts to DICOM content: structured report, PDF, capture. No input or output happens here."""
