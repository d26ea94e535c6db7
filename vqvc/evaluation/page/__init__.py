"""The page of the report: its pieces (parts.py), its look (style.css) and what it does (script.js)."""
