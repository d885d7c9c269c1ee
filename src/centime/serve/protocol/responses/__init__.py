"""OpenAI's Responses API, stateless, over chat completions: the request becomes a chat, the chat's answer a response.

So whatever answers chats, our engine or any server behind the gateway, answers these too.
"""
