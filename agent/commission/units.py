"""Units as OPC UA servers name them, in the texts that the configuration uses. Pure.

Codes are those of UNECE Recommendation 20, which OPC UA Part 8, 5.6.3 refers to.
"""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "CEL": "degC", "FAH": "degF", "KEL": "K", "A97": "hPa", "PAL": "Pa", "KPA": "kPa", "MPA": "MPa", "BAR": "bar",
    "MBR": "mbar", "PS": "psi", "B47": "kN", "NEW": "N", "NU": "N.m", "C16": "mm/s", "MTS": "m/s", "2M": "cm/s",
    "MSK": "m/s2", "K40": "gn", "RPM": "1/min", "RPS": "1/s", "HTZ": "Hz", "KHZ": "kHz", "MHZ": "MHz",
    "AMP": "A", "4K": "mA", "B84": "uA", "VLT": "V", "2Z": "mV", "KVT": "kV", "WTT": "W", "KWT": "kW", "MAW": "MW",
    "WHR": "W.h", "KWH": "kW.h", "MWH": "MW.h", "KVA": "kVA", "D46": "VA", "D44": "var", "KVR": "kvar", "OHM": "Ohm",
    "JOU": "J", "KJO": "kJ", "3B": "MJ", "MTR": "m", "CMT": "cm", "MMT": "mm", "4H": "um", "C45": "nm", "INH": "in",
    "FOT": "ft", "MTK": "m2", "CMK": "cm2", "MMK": "mm2", "MTQ": "m3", "LTR": "L", "MLT": "mL", "HLT": "hL",
    "MQH": "m3/h", "MQS": "m3/s", "L2": "L/min", "G51": "L/s", "E32": "L/h", "41": "mL/min", "KGM": "kg", "GRM": "g",
    "TNE": "t", "MGM": "mg", "LBR": "lb", "E93": "kg/h", "KGS": "kg/s", "F31": "kg/min", "KMQ": "kg/m3", "23": "g/cm3",
    "SEC": "s", "MIN": "min", "HUR": "h", "DAY": "d", "C26": "ms", "B98": "us", "P1": "%", "59": "ppm", "2N": "dB",
    "C81": "rad", "DD": "deg", "2A": "rad/s", "E96": "deg/s", "LUX": "lx", "CDL": "cd", "LUM": "lm", "D33": "T",
    "M46": "1/min", "C94": "1/min", "C97": "1/s", "2X": "m/min", "H81": "mm/min", "KMH": "km/h", "B48": "kN.m",
    "C17": "mm2/s", "4C": "cSt", "C7": "cP", "G52": "m3/d", "G53": "m3/min", "E18": "t/h", "GL": "g/L", "M1": "mg/L",
    "GV": "GJ", "AMH": "A.h", "FTQ": "ft3", "INQ": "in3", "G2": "gal/min", "2L": "ft3/min", "HN": "mmHg",
    "C62": "1", "H87": "1", "NAR": "1", "Q30": "pH", "D10": "S/m", "G42": "uS/cm", "C24": "mPa.s",
}
_SPELLINGS: Final = {"°c": "degC", "degc": "degC", "deg c": "degC", "℃": "degC", "°f": "degF", "℉": "degF", "°": "deg",
                     "rpm": "1/min", "r/min": "1/min", "u/min": "1/min", "min-1": "1/min", "1/min": "1/min",
                     "µm": "um", "μm": "um", "m³/h": "m3/h", "l/min": "L/min", "ω": "Ohm"}


def unit_text(code: str, shown: str = "") -> str:
    """Return the text of a UNECE code, else what is shown for it in our spelling; "" where neither says anything."""
    return TEXTS.get(code) or _SPELLINGS.get(shown.strip().lower(), shown.strip())
