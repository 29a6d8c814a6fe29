"""The testing API for programs with asyncio or trio."""
