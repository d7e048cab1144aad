"""Texts as a language model might write them about `tests.reports.measurement()`, with and without a second age."""

from __future__ import annotations

ENGLISH = (
    "The HC is 197.1 mm, with a 95 % interval of 194.6 to 199.6 mm. The BPD is 55.0 mm and the OFD is 70.0 mm, both"
    " outer to outer, and the cephalic index is 78.6 %. The gestational age by HC is 21w 6d by Hadlock 1984, and the"
    " range of the gestational age is 20w 3d to 23w 3d, in the second trimester.\n\n"
    "The numbers rest on one image that software outlined and that nobody has seen yet. Plane, fetus and meaning are"
    " for the examiner to judge."
)
GERMAN = (
    "Der KU beträgt 197,1 mm mit einem 95-%-Intervall von 194,6 bis 199,6 mm. Der BPD beträgt 55,0 mm und der FOD"
    " 70,0 mm, beide außen-außen; der Kopfindex ist 78,6 %. Das Gestationsalter nach KU beträgt 21+6 SSW (Hadlock"
    " 1984), der Bereich 20+3 SSW bis 23+3 SSW, im zweiten Trimenon.\n\n"
    "Die Zahlen beruhen auf einem Bild, das eine Software umrandet hat. Ebene, Fetus und Bedeutung beurteilt die"
    " untersuchende Person."
)
GROWTH = (
    " The independent age is 21w 3d; by the growth standard INTERGROWTH-21st 2014 the percentile of HC is"
    " 83.3 and the z-score of HC is 0.97."
)
GERMAN_GROWTH = (
    " Das unabhängige Alter ist 21+3 SSW; nach dem Wachstumsstandard INTERGROWTH-21st 2014 ist die Perzentile des KU"
    " 83,3 und der z-Score des KU 0,97."
)
