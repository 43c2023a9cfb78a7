"""TODO(doc)"""
