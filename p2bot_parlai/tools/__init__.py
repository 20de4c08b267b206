"""Programs around the method: reports, the web page, human evaluation, import and export."""
