"""Outside systems, one folder each: the only place, with `streamgauge.app`, where a vendor library is imported."""
