"""Mutated files through `dicom-node measure`: corpus -> mutations -> worker processes -> verdicts."""
