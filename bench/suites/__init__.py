"""One suite a module.

``measure(settings)`` returns the JSON, ``tables(result)`` its Markdown, ``draw(result, folder)``
the names of the PNG files it wrote. The last two need nothing but the JSON.
"""
