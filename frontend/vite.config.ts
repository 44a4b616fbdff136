import { fileURLToPath } from 'node:url';
import tailwindcss from '@tailwindcss/vite';
import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vitest/config';

const server = process.env.PERFWATCH_URL ?? 'http://127.0.0.1:8000';

export default defineConfig(({ command }) => ({
  // Relative to the page's <base>, which the server knows.
  base: command === 'build' ? './' : '/',
  plugins: [vue(), tailwindcss()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  server: {
    // `changeOrigin` satisfies the server's Host and Origin checks behind this proxy.
    proxy: {
      '/api': {
        target: server,
        ws: true,
        changeOrigin: true,
        headers: { origin: server },
      },
      '/health': { target: server, changeOrigin: true },
      '/openapi.json': { target: server, changeOrigin: true },
    },
  },
  build: {
    target: 'es2022',
    // Every browser that runs this knows `modulepreload`, or does without.
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        // One compressed file is smaller than several; what only some pages need is not in them.
        codeSplitting: {
          groups: [
            { name: 'vendor', test: /node_modules\/(?!uplot|sortablejs)/ },
            {
              name: 'core',
              test: /src\/((stores|api)\/(?!accounts|boards|channels|joining|processes|profiles|settings)|charts\/geometry\b)/,
            },
          ],
        },
      },
    },
    // The content security policy allows no inline resources.
    assetsInlineLimit: 0,
  },
  test: {
    environment: 'happy-dom',
    include: ['tests/**/*.test.ts'],
  },
}));
